# SPDX-License-Identifier: Apache-2.0
"""The page at / in a real Chromium, driven through WebDriver (Debian: chromium, chromium-driver). VTL_SCREENSHOT keeps a picture of it."""
import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import urllib.request

import pytest
from test_serve import batch, certified, request_of, server  # noqa: F401 (fixtures)


class Browser:
    def __init__(self, driver, chromium, folder):
        self.process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                break
        else:
            pytest.fail("chromedriver did not start")
        self.base = f"http://127.0.0.1:{found.group(1)}/session"
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1100,900", f"--user-data-dir={folder}"]
        options = {"goog:chromeOptions": {"binary": chromium, "args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}}
        self.base += "/" + self.call("", {"capabilities": {"alwaysMatch": options}})["sessionId"]

    def call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}), timeout=60) as answer:
            return json.load(answer)["value"]

    def run(self, script, *arguments):
        return self.call("/execute/sync", {"script": script, "args": arguments})

    def until(self, script, wanted):
        end = time.monotonic() + 30
        while not wanted(value := self.run(script)) and time.monotonic() < end:
            time.sleep(0.1)
        assert wanted(value), value
        return value

    def close(self):
        try:
            urllib.request.urlopen(urllib.request.Request(self.base, method="DELETE"), timeout=60).close()
        finally:
            self.process.terminate()
            self.process.wait()
            self.process.stdout.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("chromium-browser")
    if not driver or not chromium:
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    opened = Browser(driver, chromium, tmp_path_factory.mktemp("browser"))
    yield opened
    opened.close()


DROP = """
const [data, drop] = [Uint8Array.from(atob(arguments[0]), c => c.charCodeAt(0)), document.querySelector('.drop')];
const transfer = new DataTransfer();
transfer.items.add(new File([data], 'picture.png', {type: 'image/png'}));
drop.dispatchEvent(new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true}));
"""


def test_the_page_shows_models_and_classifies_a_picture(browser, server, vitrail, certified, pictures, batch):
    browser.call("/url", {"url": f"http://127.0.0.1:{server.http}/"})
    browser.until("return document.querySelector('h2')?.textContent ?? ''", lambda text: "tiny" in text)
    server.json("/v2/models/tiny/infer", json.dumps(request_of(batch)).encode())
    number = "return [...document.querySelectorAll('.numbers div')].find(d => d.textContent.includes('rows in all'))?.textContent ?? ''"
    total = server.json("/v2/models/tiny/stats")["model_stats"][0]["inference_count"]
    browser.until(number, lambda text: text == f"{total}rows in all")

    picture = next(pictures.rglob("picture.png"))
    browser.run(DROP, base64.b64encode(picture.read_bytes()).decode())
    best = vitrail.json("run", certified, "--image", picture, "--top", 1)["results"][0]["top"][0]
    shown = browser.until("return document.querySelector('.classes li')?.textContent ?? ''", bool)
    assert shown == f"{best['score'] * 100:.1f} % {best['label'] or 'class ' + str(best['index'])}"
    assert browser.run("return document.querySelectorAll('svg rect').length") >= 9
    assert not [entry for entry in browser.call("/se/log", {"type": "browser"}) if "favicon" not in entry["message"]]
    if where := os.environ.get("VTL_SCREENSHOT"):
        pathlib.Path(where).write_bytes(base64.b64decode(browser.call("/screenshot")))


def test_the_page_asks_nothing_of_other_hosts(server):
    _, headers, body = server.request("/")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.search(rb"(src|href)=|url\(|https?://(?!www\.w3\.org/2000/svg)", body)
