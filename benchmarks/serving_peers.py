#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Vitrail's server beside LitServe and Ray Serve with ONNX Runtime: serving_peers.py VITRAIL ENGINE.vtl MODEL.onnx --images DIR
[--peers litserve ray] [--python PYTHON] [--threads N] [--clients 1 8] [--seconds S] [--rounds N] [--json FILE]

One model, one load generator (`vitrail load`, a closed loop of so many clients): pictures in and classes out, and binary tensors of one row. In each
round every server is started, warmed up, measured and stopped, in an order that turns from round to round; the table has the median of the rounds.
Before that, all have to name the same class for each picture. PYTHON has onnxruntime, pillow, litserve and ray[serve].
"""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(port, path, body=None, timeout=60):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.loads(answer.read())


@contextlib.contextmanager
def running(name, options):
    port = free_port()
    if name == "vitrail":
        command = [options.vitrail, "serve", f"model={options.engine}", "--allow-uncertified", "--threads", options.threads, "--http-port", port,
                   "--no-grpc", "--no-metrics", "--max-batch", options.max_batch]
    else:
        command = [options.python, HERE / "peer_server.py", name, options.onnx, "--port", port, "--threads", options.threads,
                   "--max-batch", options.max_batch]
    server = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while True:
            try:
                ask(port, "/v2/models/model", timeout=2)
                break
            except OSError as error:
                if server.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{name} did not start: {error}\n{server.stdout.read().decode() if server.poll() is not None else ''}")
                time.sleep(0.2)
        yield port
    finally:
        # Its own session: LitServe and Ray have processes of their own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        server.stdout.close()


def load(port, options, *arguments):
    done = subprocess.run([options.vitrail, "load", "-u", f"127.0.0.1:{port}", "-m", "model", "--json", "--duration", str(options.seconds),
                           "--warm-up", str(options.warm_up), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"vitrail load: exit {done.returncode}\n{done.stderr}")
    result = json.loads(done.stdout)["results"][0]
    if result["failed"]:
        raise SystemExit(f"{result['failed']} requests failed: {result['faults']}")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vitrail")
    parser.add_argument("engine")
    parser.add_argument("onnx")
    parser.add_argument("--images", required=True)
    parser.add_argument("--peers", nargs="*", default=["litserve", "ray"])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-batch", type=int, default=8)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()

    pictures = sorted(p for p in pathlib.Path(options.images).rglob("*") if p.suffix.lower() in SUFFIXES)
    names = ["vitrail", *options.peers]
    loads = [(f"{what}, {clients} client{'s' * (clients > 1)}", [*extra, "--concurrency", clients])
             for what, extra in (("pictures", ["--images", options.images]), ("tensors", ["-b", 1])) for clients in options.clients]
    results = {name: {what: [] for what, _ in loads} for name in names}
    answers = {}
    for number in range(options.rounds):
        for name in names[number % len(names):] + names[:number % len(names)]:
            with running(name, options) as port:
                if name not in answers:
                    answers[name] = [ask(port, "/v2/models/model/classify?top=1", p.read_bytes())["top"][0]["index"] for p in pictures]
                    differ = [str(p) for p, a, b in zip(pictures, answers[name], answers[next(iter(answers))]) if a != b]
                    if differ:
                        raise SystemExit(f"{name} and {next(iter(answers))} name different classes for {', '.join(differ)}")
                for what, arguments in loads:
                    results[name][what].append(load(port, options, *arguments))
                    print(f"round {number + 1}: {name}: {what}: {results[name][what][-1]['infer_per_second']:.1f}/s", file=sys.stderr, flush=True)

    print(f"{len(pictures)} pictures, the same classes from all; {options.threads} threads, batches of up to {options.max_batch}, {options.rounds} rounds of "
          f"{options.seconds:g} s; requests/s and p99.\n")
    print("| load | " + " | ".join(names) + " |\n|---|" + "---:|" * len(names))
    for what, _ in loads:
        cells = []
        for name in names:
            rate = statistics.median(r["infer_per_second"] for r in results[name][what])
            p99 = statistics.median(r["p99_latency_us"] for r in results[name][what]) / 1000
            base = statistics.median(r["infer_per_second"] for r in results["vitrail"][what])
            cells.append(f"{rate:.1f}/s, {p99:.0f} ms" + ("" if name == "vitrail" else f" ({base / rate:.2f}×)"))
        print(f"| {what} | " + " | ".join(cells) + " |")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
