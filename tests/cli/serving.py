# SPDX-License-Identifier: Apache-2.0
"""A server of `vitrail serve` for the time of a test."""
import contextlib
import json
import re
import shutil
import signal
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

from conftest import BINARY


class Server:
    def __init__(self, *arguments, ports=("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")):
        self.process = subprocess.Popen([BINARY, "serve", *ports, *map(str, arguments)], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.errors = []
        self.reader = threading.Thread(target=lambda: self.errors.extend(self.process.stderr))
        self.reader.start()
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if line == "ready\n":
                break
        ports = dict(re.findall(r"^(\w+) +(?:https?://)?[\d.]+:(\d+)", self.said, re.M))
        self.http, self.metrics, self.grpc = (int(ports.get(name, 0)) for name in ("http", "metrics", "grpc"))

    def request(self, path, body=None, port=None, method=None, **headers):
        """Status, headers and body."""
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.http}{path}", body, method=method,
                                         headers={name.replace("_", "-"): value for name, value in headers.items()})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def json(self, *arguments, **options):
        status, _, body = self.request(*arguments, **options)
        assert status == 200, (status, body)
        return json.loads(body)

    def stop(self, how=signal.SIGTERM):
        """The exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        status = self.process.wait(60)
        self.reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return status


def self_signed(folder, names="DNS:localhost,IP:127.0.0.1"):
    """A certificate for this machine, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
                    "-subj", "/CN=localhost", "-addext", f"subjectAltName={names}"], check=True, capture_output=True)
    return certificate, key


@contextlib.contextmanager
def serve(*arguments, **options):
    server = Server(*arguments, **options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.stop()
