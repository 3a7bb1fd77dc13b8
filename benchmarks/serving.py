#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What serving costs beside the bare engine: serving.py VITRAIL ENGINE [--images DIR] [--threads N] [--seconds S] [--only NAME…]

Runs server and load on this machine, over loopback, and prints a Markdown table; --json FILE keeps everything. Bare engine
and server take turns, figures are medians of the rounds' ratios. The load generator needs a core too: the engine gets the
others (--threads), or the table is a lower bound.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import tempfile
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
        models = [] if "--model-repository" in arguments else [f"model={self.o.engine}"]
        server = subprocess.Popen([self.o.vitrail, "serve", *models, "--allow-uncertified", "--threads", str(self.o.threads),
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

    def bare(self, batch, idle_ms=0):
        report = json.loads(self.vitrail("bench", self.o.engine, "--batch", batch, "--threads", self.o.threads, "--max-seconds", self.o.seconds,
                                         "--iterations", 1000000, "--idle-time", idle_ms, "--json"))
        return report["results"][0]

    def rounds(self, one):
        """What one() gives, round by round; it measures the bare engine and the server in turn."""
        return [one() for _ in range(self.o.rounds)]

    def engine(self):
        found = self.rounds(lambda: {b: self.bare(b) for b in self.o.batches})
        self.bare_per_second = {b: statistics.median(r[b]["images_per_second"] for r in found) for b in self.o.batches}
        self.best = max(self.bare_per_second, key=self.bare_per_second.get)
        self.raw["bench"] = found
        each = ", ".join(f"{n:.1f} at batch {b}" for b, n in self.bare_per_second.items())
        print(f"Bare engine, {self.o.threads} threads, images/s: {each}\n\n| what | measured | goal | met |\n|---|---:|---:|---|")

    def share(self, what, goal, *load):
        """Throughput of the server over the bare engine's at its best batch size."""
        with self.serve():
            found = self.rounds(lambda: (self.bare(self.best), self.load(*load)))
        shares = [l["infer_per_second"] / b["images_per_second"] for b, l in found]
        share, rate = statistics.median(shares), statistics.median(l["infer_per_second"] for _, l in found)
        self.row(what, f"{rate:.1f} images/s, {share:.1%} of bench ({min(shares):.1%} to {max(shares):.1%})", f"≥ {goal:.0%}", share >= goal, found)

    def throughput(self):
        self.share(f"throughput, binary tensors, batch {self.best}", 0.97, "-b", self.best, "--concurrency", 3)

    def jpeg(self):
        if self.o.images:
            self.share("JPEG in, labels out", 0.9, "--images", self.o.images, "--concurrency", 4 * self.best)

    def light(self):
        """Latency added where nobody waits: one client without a pause, and one request now and then."""
        pause = 4000 / self.bare_per_second[1]  # a fifth of the time is compute
        for what, idle, load in (("one client", 0, ["--concurrency", 1]),
                                 ("20 % load", pause, ["--request-rate", 200 / pause])):
            with self.serve():
                found = self.rounds(lambda: (self.bare(1, idle), self.load(*load)))
            added = {p: statistics.median((l[f"p{p}_latency_us"] - b["median_us" if p == 50 else f"p{p}_us"]) / 1000 for b, l in found) for p in (50, 90, 99)}
            self.row(f"latency added, {what}", f"p50 {added[50]:.2f}, p90 {added[90]:.2f}, p99 {added[99]:.2f} ms", "p99 ≤ 0.5 ms", added[99] <= 0.5, found)

    def poisson(self):
        def one():
            bare = self.bare(self.best)
            return bare, self.load("--request-rate", 0.8 * bare["images_per_second"], "--poisson", seconds=self.o.seconds * 3)

        with self.serve():
            found = self.rounds(one)
        times = statistics.median(l["p99_latency_us"] / b["median_us"] for b, l in found)
        mean = statistics.median(l["p99_latency_us"] / l["server"]["compute_infer_us"] for _, l in found)
        p99 = statistics.median(l["p99_latency_us"] for _, l in found)
        self.row("Poisson at 80 % of capacity", f"p99 {p99 / 1000:.1f} ms, {times:.1f}× the compute of batch {self.best} ({mean:.1f}× that of the batches run)", "≤ 3×", times <= 3, found)

    def batching(self):
        def one():
            with self.serve("--no-batching"):
                alone = self.load("--concurrency", 16)
            with self.serve():
                return alone, self.load("--concurrency", 16)

        found = self.rounds(one)
        gain = statistics.median(t["infer_per_second"] / a["infer_per_second"] for a, t in found)
        bare = self.bare_per_second[self.best] / self.bare_per_second[1]
        self.row("batching on against off, 16 clients", f"{gain:.2f}× (the engine itself gains {bare:.2f}×)", "≥ 1.3× where the engine gains", gain >= min(1.3, 0.97 * bare), found)

    def overload(self):
        with self.serve("--slo", f"{self.o.slo_ms}ms"):
            self.load("--concurrency", 4, seconds=3)
            before, memory = self.bare(self.best), self.resident()
            r = self.load("--request-rate", 5 * before["images_per_second"], "--max-in-flight", 256, seconds=self.o.overload_seconds)
            growth = (self.resident() - memory) / 2 ** 20
            capacity = (before["images_per_second"] + self.bare(self.best)["images_per_second"]) / 2
        good = r["infer_per_second"] / capacity
        self.row(f"5× overload, {self.o.overload_seconds:.0f} s", f"goodput {good:.1%} of capacity, answers' p99 {r['p99_latency_us'] / 1000:.0f} ms (goal {self.o.slo_ms}), "
                 f"refusals' p99 {r['failed_p99_us'] / 1000:.1f} ms, memory {growth:+.0f} MiB", "≥ 95 %, ≤ 10 ms, flat", good >= 0.95 and r["failed_p99_us"] <= 10000 and growth < 50, r)

    def idle(self):
        rate = 0.5 * self.bare_per_second[1]

        def one():
            with self.serve():
                quiet = self.load("--request-rate", rate)
                with self.crowd():
                    return quiet, self.load("--request-rate", rate)

        found = self.rounds(one)
        moved = statistics.median(b["p99_latency_us"] / q["p99_latency_us"] for q, b in found) - 1
        self.row("2,000 idle and 200 slow connections", f"p99 {moved:+.0%}", "≤ +20 %", moved <= 0.2, found)

    def swap(self):
        """A new version of the model every other second, against the same load on one that stays."""
        rate = 0.5 * self.bare_per_second[1]

        def put(folder, version):
            (folder / "model" / str(version)).mkdir(parents=True)
            os.link(self.o.engine, folder / "model" / str(version) / "model.vtl")

        def replace(folder, stop, swaps):
            while not stop.wait(2):
                put(folder, len(swaps) + 2)
                urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.port}/v2/repository/models/model/load", data=b"{}"))
                swaps.append(time.monotonic())

        def one():
            with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(self.o.engine))) as name:
                folder, stop, swaps = pathlib.Path(name), threading.Event(), []
                put(folder, 1)
                with self.serve("--model-repository", name, "--model-control", "explicit", "--load-model", "model"):
                    steady = self.load("--request-rate", rate, seconds=2 * self.o.seconds)
                    thread = threading.Thread(target=replace, args=(folder, stop, swaps))
                    thread.start()
                    swapped = self.load("--request-rate", rate, seconds=2 * self.o.seconds)
                    stop.set()
                    thread.join()
                return steady, swapped, len(swaps)

        found = self.rounds(one)
        times = statistics.median(b["p99_latency_us"] / a["p99_latency_us"] for a, b, _ in found)
        failed = sum(b["failed"] for _, b, _ in found)
        self.row(f"hot swap, {sum(n for _, _, n in found)} versions, 50 % load", f"p99 {times:.2f}×, {failed} failed", "≤ 2×, 0", times <= 2 and failed == 0, found)

    @contextlib.contextmanager
    def crowd(self):
        """2,000 connections that say nothing and 200 that send a body byte by byte."""
        sockets, stop = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(2200)], threading.Event()

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
        try:
            yield
        finally:
            stop.set()
            thread.join()
            for s in sockets:
                s.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vitrail")
    parser.add_argument("engine")
    parser.add_argument("--images")
    parser.add_argument("--threads", type=int, default=max(1, len(os.sched_getaffinity(0)) - 1))
    parser.add_argument("--batches", type=lambda text: [int(b) for b in text.split(",")], default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=5, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slo-ms", type=int, default=1000)
    parser.add_argument("--overload-seconds", type=float, default=60)
    parser.add_argument("--only", nargs="+", default=["throughput", "light", "jpeg", "poisson", "batching", "overload", "idle", "swap"])
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
