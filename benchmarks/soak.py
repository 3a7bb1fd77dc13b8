#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server under everything at once: soak.py VITRAIL ENGINE [--seconds S] [--clients N] [--json FILE]

Clients that check every answer against the offline run to the bit, models that are replaced, clients that are killed within a request,
and malformed requests. Ends with 1 when a request was lost, an answer was wrong, or memory grew. Needs numpy; the engine has one FP32 input.
"""
import argparse
import http.client
import json
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import numpy


def resident(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return int(float(re.search(r"^process_resident_memory_bytes (\S+)", text, re.M).group(1)))


class Soak:
    def __init__(self, options, folder):
        self.o, self.folder = options, pathlib.Path(folder)
        self.counts, self.faults = dict(answers=0, refused=0, killed=0, malformed=0, reloads=0), []
        self.lock, self.stop, self.version = threading.Lock(), threading.Event(), 0
        (self.folder / "repository/model").mkdir(parents=True)
        self.publish()

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def fault(self, text):
        with self.lock:
            self.faults.append(text)

    def publish(self):
        """A new version of the model, whole from the moment that it is seen; of the old ones only the last stays."""
        self.version += 1
        models = self.folder / "repository/model"
        ready = self.folder / f"ready{self.version}"
        ready.mkdir()
        shutil.copy(self.o.engine, ready / "model.vtl")
        ready.rename(models / str(self.version))
        shutil.rmtree(models / str(self.version - 2), ignore_errors=True)

    def offline(self, name, shape):
        self.inputs = numpy.random.default_rng(0).standard_normal((8, *shape)).astype(numpy.float32)
        numpy.save(self.folder / "x.npy", self.inputs)
        y = self.folder / "y.npz"
        subprocess.run([self.o.vitrail, "run", self.o.engine, "--input", f"{name}={self.folder / 'x.npy'}", "--output",
                        f"{self.output}={y}"], check=True, capture_output=True)
        self.expected = numpy.load(y)[self.output]

    def body(self, first, rows):
        data = self.inputs[first:first + rows]
        header = json.dumps({"parameters": {"binary_data_output": True}, "outputs": [{"name": self.output}],
                             "inputs": [{"name": self.name, "datatype": "FP32", "shape": list(data.shape),
                                         "parameters": {"binary_data_size": data.nbytes}}]}).encode()
        return header + data.tobytes(), {"Inference-Header-Content-Length": str(len(header))}

    def client(self, seed):
        choose = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.stop.is_set():
            first = choose.randrange(7)
            rows = choose.randint(1, min(2, 8 - first))
            body, headers = self.body(first, rows)
            try:
                connection.request("POST", "/v2/models/model/infer", body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except OSError as error:
                self.fault(f"a request was lost: {error!r}")
                connection.close()
                continue
            if answer.status == 503:
                self.count("refused")
            elif answer.status != 200:
                self.fault(f"{answer.status}: {content[:200]!r}")
            elif content[int(answer.headers["Inference-Header-Content-Length"]):] != self.expected[first:first + rows].tobytes():
                self.fault("a wrong answer")
            else:
                self.count("answers")
        connection.close()

    def killer(self):
        choose = random.Random(1)
        while not self.stop.is_set():
            body, headers = self.body(0, 2)
            text = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
            whole = f"POST /v2/models/model/infer HTTP/1.1\r\nHost: x\r\n{text}Content-Length: {len(body)}\r\n\r\n".encode() + body
            with socket.create_connection(("127.0.0.1", self.port)) as s:
                s.sendall(whole[:choose.randint(1, len(whole))] if choose.random() < 0.7 else whole)
                if choose.random() < 0.5:  # a reset instead of an end
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.count("killed")
            time.sleep(0.02)

    def vandal(self):
        choose = random.Random(2)
        good, headers = self.body(0, 1)
        while not self.stop.is_set():
            bad = bytearray(good)
            for _ in range(choose.randint(1, 20)):
                bad[choose.randrange(min(len(bad), 300))] = choose.randrange(256)
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                connection.request("POST", choose.choice(["/v2/models/model/infer", "/v2/models/model/classify", "/v2/%ff/../x"]), bytes(bad), headers)
                if connection.getresponse().status >= 500:
                    self.fault("a malformed request was answered by 5xx")
            except http.client.HTTPException as error:
                self.fault(f"a malformed request was not answered: {error!r}")
            connection.close()
            self.count("malformed")
            time.sleep(0.02)

    def reloader(self):
        while not self.stop.wait(self.o.reload_seconds):
            self.publish()
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            connection.request("POST", "/v2/repository/models/model/load", "{}")
            answer = connection.getresponse()
            if answer.status != 200:
                self.fault(f"reload: {answer.status} {answer.read()[:200]!r}")
            connection.close()
            self.count("reloads")

    def run(self):
        server = subprocess.Popen([self.o.vitrail, "serve", "--model-repository", self.folder / "repository", "--model-control", "explicit",
                                   "--load-model", "model", "--allow-uncertified", "--http-port", "0", "--metrics-port", "0", "--no-grpc",
                                   "--threads", str(self.o.threads)], stdout=subprocess.PIPE, text=True)
        said = ""
        for line in server.stdout:
            said += line
            if line == "ready\n":
                break
        self.port, metrics = (int(n) for n in re.findall(r"http://[\d.]+:(\d+)", said))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/v2/models/model")
        model = json.load(connection.getresponse())
        connection.close()
        self.name, self.output = model["inputs"][0]["name"], model["outputs"][0]["name"]
        self.offline(self.name, model["inputs"][0]["shape"][1:])
        threads = [threading.Thread(target=self.client, args=(n,)) for n in range(self.o.clients)]
        threads += [threading.Thread(target=f) for f in (self.killer, self.vandal, self.reloader)]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        memory = []
        while time.monotonic() - begin < self.o.seconds:
            time.sleep(min(5, self.o.seconds / 20))
            memory.append(resident(metrics))
        self.stop.set()
        for thread in threads:
            thread.join()
        server.terminate()
        status = server.wait(60)
        if status:
            self.fault(f"the server ended with {status}")
        third = max(1, len(memory) // 3)
        # Peaks, since a reload holds two models for a moment.
        early, late = max(memory[third:2 * third] or memory), max(memory[-third:])
        growth = (late - early) / 2 ** 20
        if growth > self.o.growth_mib:
            self.fault(f"memory grew by {growth:.1f} MiB")
        return {"seconds": self.o.seconds, **self.counts, "resident_mib": [round(m / 2 ** 20, 1) for m in memory], "growth_mib": round(growth, 1),
                "faults": self.faults[:50]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vitrail")
    parser.add_argument("engine")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--reload-seconds", type=float, default=5)
    parser.add_argument("--growth-mib", type=float, default=16)
    parser.add_argument("--json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Soak(options, folder).run()
    print(json.dumps(report, indent=1))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(report, indent=1))
    return 1 if report["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
