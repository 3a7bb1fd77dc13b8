#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What serving costs beside the bare engine: serving.py VITRAIL ENGINE [--images DIR] [--threads N] [--seconds S] [--only NAME…]

Runs server and load on this machine, over loopback, and prints a Markdown table; --json FILE keeps everything. The load
generator needs cores too: on few of them it takes its share from the server, and the table is a lower bound.
"""
import argparse
import contextlib
import json
import re
import socket
import subprocess
import threading
import time
import urllib.request


class Bench:
    def __init__(self, options):
        self.o, self.rows, self.raw = options, [], {}

    def vitrail(self, *arguments, check=True):
        done = subprocess.run([self.o.vitrail, *map(str, arguments)], capture_output=True, text=True)
        if check and done.returncode:
            raise SystemExit(f"{arguments}: exit {done.returncode}\n{done.stderr}")
        return done.stdout

    @contextlib.contextmanager
    def serve(self, *arguments):
        server = subprocess.Popen([self.o.vitrail, "serve", f"model={self.o.engine}", "--allow-uncertified", "--threads", str(self.o.threads),
                                   "--http-port", "0", "--metrics-port", "0", "--no-grpc", *map(str, arguments)], stdout=subprocess.PIPE, text=True)
        said = ""
        for line in server.stdout:
            said += line
            if line == "ready\n":
                break
        self.port, self.metrics = (int(n) for n in re.findall(r"http://[\d.]+:(\d+)", said))
        try:
            yield server
        finally:
            server.terminate()
            server.wait()

    def load(self, *arguments, seconds=None):
        text = self.vitrail("load", "-u", f"127.0.0.1:{self.port}", "-m", "model", "--json", "--duration", seconds or self.o.seconds,
                            *arguments, check=False)
        return json.loads(text)["results"][0]

    def resident(self):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics").read().decode()
        return int(float(re.search(r"^process_resident_memory_bytes (\S+)", text, re.M).group(1)))

    def row(self, what, value, goal, good, raw):
        self.rows.append((what, value, goal, good))
        self.raw[what] = raw
        print(f"| {what} | {value} | {goal} | {'yes' if good else 'no'} |", flush=True)

    def engine(self):
        report = json.loads(self.vitrail("bench", self.o.engine, "--batch", self.o.batches, "--threads", self.o.threads, "--max-seconds",
                                         self.o.seconds * 4, "--json"))
        self.bare = {r["batch"]: r for r in report["results"]}
        self.best = max(self.bare, key=lambda b: self.bare[b]["images_per_second"])
        self.capacity = self.bare[self.best]["images_per_second"]
        self.raw["bench"] = list(self.bare.values())
        print(f"Bare engine: {self.capacity:.1f} images/s at batch {self.best}; batch 1: {self.bare[1]['images_per_second']:.1f} images/s, "
              f"p99 {self.bare[1]['p99_us'] / 1000:.2f} ms\n\n| what | measured | goal | met |\n|---|---:|---:|---|")

    def throughput(self):
        with self.serve():
            r = self.load("-b", self.best, "--concurrency", 3)
            share = r["infer_per_second"] / self.capacity
            self.row(f"throughput, binary tensors, batch {self.best}", f"{r['infer_per_second']:.1f} images/s, {share:.1%} of bench", "≥ 97 %", share >= 0.97, r)

    def light(self):
        with self.serve():
            r = self.load("--request-rate", max(1, 0.2 * self.bare[1]["images_per_second"]), seconds=self.o.seconds * 2)
            added = (r["p99_latency_us"] - self.bare[1]["p99_us"]) / 1000
            self.row("p99 added at 20 % load", f"{added:.2f} ms (p50 {(r['p50_latency_us'] - self.bare[1]['median_us']) / 1000:.2f})", "≤ 0.5 ms", added <= 0.5, r)

    def jpeg(self):
        if not self.o.images:
            return
        with self.serve():
            r = self.load("--images", self.o.images, "--concurrency", 8)
            share = r["infer_per_second"] / self.capacity
            self.row("JPEG in, labels out", f"{r['infer_per_second']:.1f} images/s, {share:.1%} of bench", "≥ 90 %", share >= 0.9, r)

    def batching(self):
        with self.serve("--no-batching"):
            alone = self.load("--concurrency", 16)
        with self.serve():
            together = self.load("--concurrency", 16)
            r = self.load("--request-rate", 0.8 * self.capacity, "--poisson", seconds=self.o.seconds * 2)
            rows = r["server"]["inference_count"] / r["server"]["execution_count"]
            compute = r["server"]["compute_infer_us"]
            times = r["p99_latency_us"] / compute
            self.row("Poisson at 80 % of capacity", f"p99 {r['p99_latency_us'] / 1000:.1f} ms, {times:.1f}× the batch's compute (mean batch {rows:.1f})",
                     "≤ 3×", times <= 3, r)
        gain = together["infer_per_second"] / alone["infer_per_second"]
        bare = self.capacity / self.bare[1]["images_per_second"]
        self.row("batching on against off, 16 clients", f"{gain:.2f}× (the engine itself gains {bare:.2f}×)", "≥ 1.3× where the engine gains", gain >= min(1.3, 0.97 * bare),
                 {"on": together, "off": alone})

    def overload(self):
        with self.serve("--slo", "250ms"):
            self.load("--concurrency", 4, seconds=3)
            before = self.resident()
            r = self.load("--request-rate", 5 * self.capacity, "--max-in-flight", 256, seconds=self.o.overload_seconds)
            good = r["infer_per_second"] / self.capacity
            growth = (self.resident() - before) / 2 ** 20
            self.row(f"5× overload, {self.o.overload_seconds} s", f"goodput {good:.1%} of capacity, refusals p99 {r['failed_p99_us'] / 1000:.1f} ms, memory {growth:+.0f} MiB",
                     "≥ 95 %, ≤ 10 ms, flat", good >= 0.95 and r["failed_p99_us"] <= 10000 and growth < 50, r)

    def idle(self):
        with self.serve():
            rate = 0.5 * self.bare[1]["images_per_second"]
            quiet = self.load("--request-rate", rate)
            sockets, stop = [], threading.Event()
            for _ in range(2200):
                sockets.append(socket.create_connection(("127.0.0.1", self.port)))

            def trickle():
                for s in sockets[:200]:
                    s.sendall(b"POST /v2/models/model/infer HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
                while not stop.is_set():
                    for s in sockets[:200]:
                        with contextlib.suppress(OSError):
                            s.send(b" ")
                    time.sleep(0.2)

            thread = threading.Thread(target=trickle)
            thread.start()
            r = self.load("--request-rate", rate)
            stop.set()
            thread.join()
            for s in sockets:
                s.close()
            moved = r["p99_latency_us"] / quiet["p99_latency_us"] - 1
            self.row("2,000 idle and 200 slow connections", f"p99 {moved:+.0%}", "≤ +20 %", moved <= 0.2, {"quiet": quiet, "busy": r})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vitrail")
    parser.add_argument("engine")
    parser.add_argument("--images")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", default="1,2,4,8")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--overload-seconds", type=float, default=60)
    parser.add_argument("--only", nargs="+", default=["throughput", "light", "jpeg", "batching", "overload", "idle"])
    parser.add_argument("--json")
    options = parser.parse_args()
    bench = Bench(options)
    bench.engine()
    for name in options.only:
        getattr(bench, name)()
    if options.json:
        with open(options.json, "w") as out:
            json.dump(bench.raw, out, indent=1)


if __name__ == "__main__":
    main()
