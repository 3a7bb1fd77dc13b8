# SPDX-License-Identifier: Apache-2.0
"""Words, JSON keys, files and exit statuses that users and other programs rely on."""
import json
import os
import subprocess
import sys

import numpy
import pytest
from conftest import BINARY, SHARED

VERBS = ["export", "inspect", "build", "refit", "run", "verify", "bench", "report", "optimize", "explain", "completion", "quantize", "compare", "serve", "load", "client"]
BENCH_KEYS = {"batch", "streams", "threads", "mean_us", "median_us", "p90_us", "p95_us", "p99_us", "min_us", "max_us",
              "images_per_second", "peak_rss_bytes", "planned_bytes", "gflops", "peak_fraction"}


@pytest.mark.parametrize("verb", VERBS)
def test_help(vitrail, verb):
    assert verb in vitrail(verb, "--help").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_offers_verbs_and_options(vitrail, shell):
    script = vitrail("completion", shell).stdout
    assert all(verb in script for verb in VERBS) and "--max-seconds" in script
    if shell == "bash":
        probe = script + "\nCOMP_WORDS=(vitrail bench --max) COMP_CWORD=2\n_vitrail\necho ${COMPREPLY[@]}"
        assert subprocess.run(["bash", "-c", probe], capture_output=True, text=True).stdout.strip() == "--max-seconds"


def test_build_is_reproducible_and_prints_its_hash(vitrail, tiny, tmp_path):
    first = vitrail.json("build", tiny, "-o", tmp_path / "a.vtl")
    second = vitrail.json("build", tiny, "-o", tmp_path / "b.vtl")
    assert first["hash"] == second["hash"]
    assert (tmp_path / "a.vtl").read_bytes() == (tmp_path / "b.vtl").read_bytes()
    assert all(layer["precision"] == "float32" for layer in first["layers"])
    text = vitrail("build", tiny, "-o", tmp_path / "c.vtl").stdout
    assert first["hash"] in text and "Memory plan" in text


def test_workspace_is_a_cap_and_the_error_names_one_that_works(vitrail, tiny, tmp_path):
    error = vitrail("build", tiny, "-o", tmp_path / "e.vtl", "--workspace", "64KiB", "--profile", "1:8:64", expect=2).stderr
    needed = error.split("give at least --workspace ")[1].split()[0]
    vitrail("build", tiny, "-o", tmp_path / "e.vtl", "--workspace", needed, "--profile", "1:8:64")
    assert not vitrail("build", tiny, "-o", tmp_path / "f.vtl", "--workspace", str(int(needed) - 64), "--profile", "1:8:64", expect=2).stdout


def test_bench_json(vitrail, engine, tmp_path):
    out = tmp_path / "bench.json"
    vitrail("bench", engine, "--batch", "1,4", "--warm-up", 2, "--iterations", 20, "--streams", 2, "--threads", 1,
            "--json", out, "--export-times", tmp_path / "times.json", "--layers")
    report = json.loads(out.read_text())
    assert [r["batch"] for r in report["results"]] == [1, 4]
    for r in report["results"]:
        assert BENCH_KEYS <= set(r)
        assert r["min_us"] <= r["median_us"] <= r["p90_us"] <= r["p95_us"] <= r["p99_us"] <= r["max_us"]
        assert 0 < r["peak_fraction"] < 1.1 and r["planned_bytes"] > 0 and r["streams"] == 2
        assert r["layers"] and abs(sum(layer["share"] for layer in r["layers"]) - 1) < 1e-6
    times = json.loads((tmp_path / "times.json").read_text())
    assert len(times) == 2 * 2 * 20 and {"startComputeMs", "endComputeMs", "latencyMs"} <= set(times[0])


def test_max_seconds_says_that_it_shortened(vitrail, engine):
    report = vitrail.json("bench", engine, "--batch", "1", "--iterations", 1000000, "--max-seconds", 1)
    assert report["results"][0]["shortened"] and report["results"][0]["iterations"] < 1000000


def test_batch_outside_the_profile(vitrail, engine, tmp_path):
    x = tmp_path / "x.npy"
    numpy.save(x, numpy.zeros((9, 3, 32, 32), numpy.float32))
    error = vitrail("run", engine, "--input", f"input={x}", expect=3).stderr
    assert "9" in error and "1:2:8" in error


def test_verify_certifies_and_fails_out_of_tolerance(vitrail, engine, tiny, tmp_path):
    copy = tmp_path / "copy.vtl"
    copy.write_bytes(engine.read_bytes())
    report = vitrail.json("verify", copy, "--reference", tiny, "--random", 2, "--certify")
    assert report["passed"] and {"name", "max_abs", "mean_abs", "max_rel", "cosine", "top1_agreement", "top5_agreement"} <= set(report["outputs"][0])
    assert [s["name"] for s in report["stages"]] or report["stages"]
    assert vitrail.json("explain", copy)["certified"]
    vitrail.json("verify", copy, "--reference", tiny, "--random", 1, "--max-scaled-error", "1e-12", expect=1)


def test_verify_notices_another_model(vitrail, engine, exports):
    other = next(p for p in sorted(exports.glob("*layer_scale*ts17*.onnx")))
    vitrail("verify", engine, "--reference", other, "--random", 1, expect=1)


def test_verify_on_a_folder_of_arrays(vitrail, engine, tiny, tmp_path):
    random = numpy.random.default_rng(0)
    numpy.save(tmp_path / "a.npy", random.standard_normal((2, 3, 32, 32), dtype=numpy.float32))
    (tmp_path / "more").mkdir()
    numpy.savez(tmp_path / "more/b.npz", input=random.standard_normal((1, 3, 32, 32), dtype=numpy.float32))
    report = vitrail.json("verify", engine, "--reference", tiny, "--inputs", tmp_path)
    assert report["passed"] and report["samples"] == 3
    numpy.savez(tmp_path / "more/c.npz", other=numpy.zeros(3, numpy.float32))
    assert "c.npz" in vitrail("verify", engine, "--reference", tiny, "--inputs", tmp_path, expect=3).stderr


def test_arrays_in_an_archive(vitrail, engine, tmp_path):
    numpy.savez(tmp_path / "x.npz", input=numpy.zeros((2, 3, 32, 32), numpy.float32))
    vitrail("run", engine, "--input", f"input={tmp_path}/x.npz", "--output", f"output={tmp_path}/y.npz")
    assert numpy.load(tmp_path / "y.npz")["output"].shape == (2, 10)


def test_images_in_classes_out(vitrail, engine, pictures):
    results = vitrail.json("run", engine, "--image", pictures, "--top", 3)["results"]
    assert len(results) == 3
    for r in results:
        scores = [c["score"] for c in r["top"]]
        assert len(scores) == 3 and scores == sorted(scores, reverse=True)


def test_map_is_written_as_a_picture(vitrail, exports, pictures, tmp_path):
    from PIL import Image

    engine = tmp_path / "d.vtl"
    vitrail("build", next(p for p in sorted(exports.glob("decoder*.onnx"))), "-o", engine)
    vitrail("run", engine, "--image", pictures / "class0/picture.png", "--output", f"output={tmp_path}/map.png")
    assert Image.open(tmp_path / "map.png").size == (32, 32)
    vitrail("run", engine, "--image", pictures, "--output", f"output={tmp_path}/maps.png")
    assert len(list(tmp_path.glob("maps.*.png"))) == 3


def test_optimize_leaves_engine_and_report(vitrail, tiny, pictures, tmp_path):
    text = vitrail("optimize", tiny, "--images", pictures, "-o", tmp_path / "out", "--batch", "1,8", "--max-seconds", 4).stdout
    for name in ("engine.vtl", "bench.json", "verify.json", "report.json", "report.md", "report.html"):
        assert (tmp_path / "out" / name).stat().st_size > 0
    assert "images/s" in text
    html = (tmp_path / "out/report.html").read_text()
    assert "<svg" in html and "http://" not in html.replace("http://www.w3.org", "") and "https://" not in html
    vitrail("report", tmp_path / "out/bench.json", tmp_path / "out/verify.json", "-o", tmp_path / "again")
    assert (tmp_path / "again/report.md").read_text() == (tmp_path / "out/report.md").read_text()


def test_optimize_in_several_precisions(vitrail, tiny, pictures, tmp_path):
    out = tmp_path / "out"
    arguments = ["optimize", tiny, "--images", pictures, "-o", out, "--batch", "1,4", "--iterations", 20, "--warm-up", 2]
    report = vitrail.json(*arguments, "--precision", "fp32,int8", "--calibrate", pictures)
    for name in ("engine_fp32.vtl", "engine_int8.vtl", "model_int8.onnx", "verify_int8.json", "bench_fp32.json", "report.html"):
        assert (out / name).stat().st_size > 0
    runs = {run["label"]: run for run in report["runs"]}
    assert set(runs) == {"fp32 (cpu)", "int8 (cpu)"}
    assert all(r["iterations"] == 20 for run in runs.values() for r in run["results"])
    assert all(r["peak_rss_bytes"] > 0 for run in runs.values() for r in run["results"])
    assert "certified" in vitrail("explain", out / "engine_int8.vtl").stdout
    assert vitrail.json("explain", out / "engine_int8.vtl")["certified"] is True
    assert "Quantization" in (out / "report.html").read_text()
    # A model with Q/DQ pairs needs no calibration, and is as rough in every precision.
    again = vitrail.json("optimize", out / "model_int8.onnx", "--images", pictures, "-o", tmp_path / "again", *arguments[6:], "--precision",
                         "fp32,int8")
    assert [v["tolerance"]["max_scaled"] for v in again["verifications"]] == [0.3, 0.3]


def test_optimize_beside_pytorch(vitrail, tiny, pictures, tmp_path):
    source, out = tmp_path / "original.py", tmp_path / "out"
    source.write_text("import torch\ndef factory():\n    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8, 8), torch.nn.Flatten()), "
                      "torch.zeros(2, 3, 32, 32)\n")
    arguments = ["optimize", tiny, "--images", pictures, "-o", out, "--batch", "1,2", "--iterations", 5, "--warm-up", 1]
    env = {**os.environ, "VTL_PYTHON": sys.executable}
    report = vitrail.json(*arguments, "--pytorch", f"{source}:factory", env=env)
    assert [run["label"] for run in report["runs"]] == ["PyTorch (original)", "fp32 (cpu)"]
    assert report["recommendation"]["gain"]["baseline"] == "PyTorch (original)"
    original = report["runs"][0]
    assert [r["batch"] for r in original["results"]] == [1, 2] and all(r["iterations"] == 5 for r in original["results"])
    assert original["results"][0]["peak_rss_bytes"] > 50 << 20 and original["model"] == tiny.name
    # What is asked for and cannot be had stops the walk before it has begun.
    done = vitrail(*arguments, "--pytorch", "nonsense", env=env, expect=2)
    assert "'nonsense' is no model" in done.stderr
    done = vitrail(*arguments, "--pytorch", f"{source}:factory", env={**env, "VTL_PYTHON": "/nowhere/python"}, expect=4)
    assert "'/nowhere/python' cannot be started" in done.stderr


def test_optimize_keeps_what_works_when_a_precision_fails(vitrail, tiny, pictures, tmp_path):
    out = tmp_path / "out"
    done = vitrail("optimize", tiny, "--images", pictures, "-o", out, "--batch", "1", "--iterations", 5, "--precision", "fp16,fp32", expect=4)
    assert "fp16, " in done.stderr and "engine_fp32.vtl kept" in done.stderr
    assert "fp32 (cpu)" in (out / "report.md").read_text()
    assert "names fp32 twice" in vitrail("optimize", tiny, "--images", pictures, "-o", out, "--precision", "fp32,fp32", expect=2).stderr


def test_preprocessing_contract_is_checked(vitrail, tiny, tmp_path):
    contract = tmp_path / "p.json"
    contract.write_text('{"height": 48, "width": 48}')
    assert "48" in vitrail("build", tiny, "-o", tmp_path / "e.vtl", "--preprocess", contract, expect=3).stderr
    assert "no preprocessing is known" in vitrail("build", tiny, "-o", tmp_path / "e.vtl").stderr


def test_progress_goes_to_stderr_and_json_to_stdout(vitrail, tiny, tmp_path):
    done = subprocess.run([BINARY, "build", tiny, "-o", tmp_path / "e.vtl", "--json"], capture_output=True, text=True)
    assert isinstance(json.loads(done.stdout), dict)


def test_bytes_in_give_the_logits_of_floats_in(vitrail, tiny, pictures, tmp_path):
    logits = {}
    for kind in ("float32", "uint8"):
        built = vitrail.json("build", tiny, "-o", tmp_path / "e.vtl", "--input", kind)
        vitrail("run", tmp_path / "e.vtl", "--image", pictures, "--output", f"output={tmp_path}/y.npy")
        logits[kind] = numpy.load(tmp_path / "y.npy")
    assert built["layers"][0]["kernel"] == "cast_u8_f32"
    assert numpy.abs(logits["uint8"] - logits["float32"]).max() <= 1e-5 * numpy.abs(logits["float32"]).max()
    for samples in (["--images", pictures], ["--random", 2]):
        assert vitrail.json("verify", tmp_path / "e.vtl", "--reference", tiny, *samples)["passed"]
    assert vitrail.json("bench", tmp_path / "e.vtl", "--batch", "2", "--iterations", 5, "--streams", 2, "--threads", 1)["results"]
    # Arrays are the engine's own bytes.
    numpy.save(tmp_path / "x.npy", numpy.full((2, 32, 32, 3), 200, numpy.uint8))
    vitrail("run", tmp_path / "e.vtl", "--input", f"input={tmp_path}/x.npy")
    numpy.save(tmp_path / "x.npy", numpy.zeros((2, 3, 32, 32), numpy.float32))
    assert "uint8" in vitrail("run", tmp_path / "e.vtl", "--input", f"input={tmp_path}/x.npy", expect=3).stderr


def test_bytes_in_on_real_pictures(vitrail, shared_model, tmp_path):
    """The worst of 12 photographs against a trained ViT-S, relative to its largest logit."""
    logits = []
    for kind in ("float32", "uint8"):
        vitrail("build", shared_model, "-o", tmp_path / "e.vtl", "--input", kind)
        images = sorted((SHARED / "imagenet_samples").glob("*.JPEG"))[:12]
        vitrail("run", tmp_path / "e.vtl", "--image", *images, "--output", f"logits={tmp_path}/y.npy")
        logits.append(numpy.load(tmp_path / "y.npy"))
    assert numpy.abs(logits[0] - logits[1]).max() <= 1e-5 * numpy.abs(logits[0]).max()


def test_device_keys_are_null_on_a_host(vitrail, engine, tmp_path):
    result = vitrail.json("bench", engine, "--batch", "1", "--iterations", 5)["results"][0]
    assert result["device"] is None and result["device_bytes"] is None
    text = vitrail("bench", engine, "--batch", "1", "--iterations", 5, "--export-times", tmp_path / "t.json").stdout
    assert "Latency: min = " in text and "H2D Latency" not in text


def test_precision_is_named_or_refused(vitrail, engine, tiny, pictures, tmp_path):
    assert "fp8" in vitrail("build", "--help").stdout and "--timing-cache" in vitrail("optimize", "--help").stdout
    assert "fp7" in vitrail("build", tiny, "-o", tmp_path / "e.vtl", "--precision", "fp7", expect=2).stderr
    assert "fp8" in vitrail("build", tiny, "-o", tmp_path / "e.vtl", "--precision", "fp8", expect=4).stderr
    assert "--calibrate was left out" in vitrail("build", tiny, "-o", tmp_path / "e.vtl", "--calibrate", pictures).stderr
    assert vitrail.json("explain", engine)["warnings"] == []
