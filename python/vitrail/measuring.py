# SPDX-License-Identifier: Apache-2.0
"""How fast the original PyTorch model is, eagerly: the row that `vitrail optimize --pytorch` compares its engines with."""
import os
import statistics
import time

import torch

from vitrail import interface
from vitrail.errors import UNAVAILABLE, ExportError


STEADY = 0.025  # coefficient of variation, as src/bench/warnings.cpp has it


def cpu_name():
    with open("/proc/cpuinfo") as lines:
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def reset_peak():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:  # the peak is then that of the process
        pass


def peak_rss():
    with open("/proc/self/status") as lines:
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def percentile(ascending, p):
    """As vitrail and trtexec have it (src/core/statistics.h)."""
    return ascending[max(len(ascending) - 1 - int((1 - p / 100) * len(ascending)), 0)]


def time_batches(run, warm_up, iterations, seconds):
    """Microseconds of each timed batch, and whether the time was too short for all of them."""
    begin = time.perf_counter()
    over = lambda share: seconds is not None and time.perf_counter() - begin >= share * seconds  # noqa: E731
    shortened = False
    for i in range(warm_up):
        if i and over(0.2):
            shortened = True
            break
        run()
    times = []
    for i in range(iterations):
        if i and over(1):
            shortened = True
            break
        start = time.perf_counter_ns()
        run()
        times.append((time.perf_counter_ns() - start) / 1e3)
    return times, shortened


def measure(module, example, name, *, batches, warm_up=100, iterations=1000, max_seconds=None, threads=None, device="auto", say=lambda line: None):
    """The object of `vitrail bench --json` (docs/report-schema.md). `max_seconds` is for all batch sizes together."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ExportError("this PyTorch sees no GPU; give --device cpu", UNAVAILABLE)
    if threads:
        torch.set_num_threads(threads)
    module = module.eval().float().to(device)
    example = interface.example_inputs(example)
    begin, results, warnings = time.perf_counter(), [], []
    for done, batch in enumerate(batches):
        say(f"PyTorch, batch {batch}")
        reset_peak()
        inputs = [tensor.to(device) for tensor in interface.random_inputs(example, batch, 0)]
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()

        def run():
            with torch.inference_mode():
                module(*inputs)
            if device == "cuda":
                torch.cuda.synchronize()

        left = None if max_seconds is None else max(max_seconds - (time.perf_counter() - begin), 1e-9) / (len(batches) - done)
        times, shortened = time_batches(run, warm_up, iterations, left)
        ascending = sorted(times)
        cv = statistics.pstdev(times) / statistics.fmean(times)
        if cv > STEADY:
            warnings.append(f"batch {batch}: latencies spread by {100 * cv:.1f} % (coefficient of variation; steady is under {100 * STEADY} %); "
                            "close other programs: PyTorch's threads wait for each other")
        if shortened:
            warnings.append(f"batch {batch}: shortened by --max-seconds to {len(times)} of {iterations} iterations")
        results.append({
            "batch": batch, "streams": 1, "threads": torch.get_num_threads(), "mean_us": statistics.fmean(times),
            "median_us": statistics.median(times), "p90_us": percentile(ascending, 90), "p95_us": percentile(ascending, 95),
            "p99_us": percentile(ascending, 99), "min_us": ascending[0], "max_us": ascending[-1], "cv": cv,
            "images_per_second": batch * len(times) * 1e6 / sum(times), "peak_rss_bytes": peak_rss(), "iterations": len(times),
            "device_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else None, "shortened": shortened})
    gpu = {"name": torch.cuda.get_device_name()} if device == "cuda" else None
    return {"kind": "bench", "label": "PyTorch (original)", "runner": f"pytorch {torch.__version__.split('+')[0]}", "model": name,
            "precision": "fp32", "backend": f"pytorch {device}", "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": {"cpu": cpu_name(), "cores": len(os.sched_getaffinity(0)), "gpu": gpu}, "results": results,
            "warnings": warnings}
