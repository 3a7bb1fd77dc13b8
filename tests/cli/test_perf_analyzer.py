# SPDX-License-Identifier: Apache-2.0
"""PyPI's perf-analyzer, unchanged, against `vitrail serve`: HTTP and gRPC, closed loop and Poisson.
Its binary needs glibc 2.38: VTL_PERF_ANALYZER names it, or it is on the PATH, or in a folder of Debian trixie that
scripts/perf_analyzer.sh makes."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from serving import serve
from test_serve import certified  # noqa: F401 (fixture)

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "vitrail"


@pytest.fixture(scope="module")
def analyze():
    given = os.environ.get("VTL_PERF_ANALYZER") or shutil.which("perf_analyzer")
    trixie = CACHE / "trixie"
    command = [given] if given else ["chroot", str(trixie), "perf_analyzer"]
    if not given and not (trixie / "usr/local/bin/perf_analyzer").exists():
        pytest.skip(f"no perf_analyzer (its binary needs glibc 2.38): set VTL_PERF_ANALYZER, or make {trixie} with scripts/perf_analyzer.sh")
    if not given and os.geteuid() != 0:
        pytest.skip(f"chroot into {trixie} needs root")
    if subprocess.run([*command, "--version"], capture_output=True).returncode != 0:
        pytest.skip(f"{' '.join(command)} does not run here")

    def run(*arguments):
        return subprocess.run([*command, "-m", "tiny", "-p", "300", "-s", "100000", "-r", "10", *map(str, arguments)],
                              capture_output=True, text=True, timeout=300)

    return run


@pytest.fixture(scope="module")
def server(certified):
    with serve(certified, "--threads", 1) as running:
        yield running


def throughputs(done):
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Avg request latency" in done.stdout and "Server:" in done.stdout, done.stdout
    assert "compute infer" in done.stdout
    return [float(number) for number in re.findall(r"Throughput: ([\d.]+) infer/sec", done.stdout)]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("load", [("--concurrency-range", "1:2"), ("--request-rate-range", "40", "--request-distribution", "poisson")],
                         ids=["closed loop", "poisson"])
def test_measures(analyze, server, protocol, load):
    done = analyze("-u", f"127.0.0.1:{getattr(server, protocol)}", "-i", protocol, "--input-data", "zero", "-b", 2, *load)
    assert all(rate > 0 for rate in throughputs(done))


def test_streaming(analyze, server):
    done = analyze("-u", f"127.0.0.1:{server.grpc}", "-i", "grpc", "--streaming", "--async", "--input-data", "zero", "--concurrency-range", 2)
    assert throughputs(done)[0] > 0


def test_its_random_data_holds_nan(analyze, server, certified):
    assert "NaN or infinite" in analyze("-u", f"127.0.0.1:{server.http}").stderr
    with serve(certified, "--threads", 1, "--allow-non-finite") as lenient:
        assert throughputs(analyze("-u", f"127.0.0.1:{lenient.http}"))[0] > 0
