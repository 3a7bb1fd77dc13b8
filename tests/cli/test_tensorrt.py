# SPDX-License-Identifier: Apache-2.0
"""TensorRT behind the verbs. Engines are built for real where libvitrail_tensorrt.so was built (TensorRT_ROOT); with
TensorRT-RTX that needs no GPU. None is run."""
import os
import pathlib
import re
import subprocess

import pytest

from conftest import BINARY

MODULE = pathlib.Path(BINARY).with_name("libvitrail_tensorrt.so")
REASON = f"{MODULE.name} was not built: configure with -DTensorRT_ROOT=FOLDER of TensorRT's headers and libraries"
GPU = os.path.exists("/dev/nvidia0")

@pytest.fixture(scope="module")
def trt(vitrail, tiny, tmp_path_factory):
    """Builds the tiny ViT; gives the outcome as JSON and the engine's path."""
    if not MODULE.exists():
        pytest.skip(REASON)
    folder = tmp_path_factory.mktemp("tensorrt")

    def build(*options, model=tiny, name="engine", precision="fp16"):
        path = folder / f"{name}.vtl"
        made = vitrail.json("build", model, "--backend", "tensorrt", "--precision", precision, "-o", path, *options)
        return made, path

    return build


@pytest.fixture(scope="module")
def rtx(trt):
    """Whether it is TensorRT-RTX that builds: an engine file says what made its plan."""
    return b"TensorRT-RTX" in trt(name="there")[1].read_bytes()


def refusal(vitrail, *arguments, expect, env=None):
    done = vitrail(*arguments, expect=expect, env={**os.environ, **(env or {})})
    return done.stderr


@pytest.mark.parametrize("precision, dtype", [("fp32", "float32"), ("fp16", "float16"), ("bf16", "bfloat16")])
def test_every_layer_gets_the_precision(trt, precision, dtype):
    made, _ = trt(precision=precision, name=precision)
    assert made["backend"] == "tensorrt"
    products = [l for l in made["layers"] if l["op"] in ("Linear", "PatchEmbed", "MultiHeadAttention")]
    assert len(products) >= 5
    assert {l["precision"] for l in products} == {dtype}
    # Read back from the engine, not assumed: each of them has a kernel there.
    assert all(l["kernel"] not in ("not told", "fused away") for l in products)
    norms = [l for l in made["layers"] if l["op"] == "LayerNormalization"]
    assert norms and {l["precision"] for l in norms} == {"float32"}
    assert made["warnings"] == [] or "preprocessing" in made["warnings"][0]


def test_round_trip(vitrail, trt, tmp_path):
    plan = tmp_path / "bare.plan"
    made, path = trt("--profile", "1:1:1", "--profile", "1:8:16", "--save-engine", plan, name="round")
    explained = vitrail.json("explain", path)
    assert explained["layers"] == made["layers"]
    assert explained["hash"] == made["hash"]
    # The bare plan is what the .vtl holds.
    assert plan.stat().st_size > 10_000
    assert plan.read_bytes() in path.read_bytes()
    assert "Plan" not in {l["op"] for l in made["layers"]}


def test_the_trained_model(vitrail, trt, shared_model):
    made, _ = trt("--profile", "1:8:16", model=shared_model, name="dino")
    attention = [l for l in made["layers"] if l["op"] == "MultiHeadAttention"]
    assert len(attention) == 12
    assert all(l["precision"] == "float16" for l in attention)
    # Half the bytes of its float32 weights, and the .vtl carries them once.
    assert 40e6 < made["file_bytes"] < 60e6


def test_stripped_and_refittable_plans(vitrail, trt, rtx, tiny, tmp_path):
    if rtx and not GPU:  # its builder compiles the kernels that lay out new weights, on the GPU
        for option in ("--strip-weights", "--refit"):
            text = refusal(vitrail, "build", tiny, "--backend", "tensorrt", option, "-o", tmp_path / "x.vtl", expect=4)
            assert "needs a GPU and its driver" in text
        return
    full, stripped = tmp_path / "full.plan", tmp_path / "stripped.plan"
    trt("--save-engine", full, name="full")
    made, path = trt("--strip-weights", "--save-engine", stripped, name="stripped")
    assert stripped.stat().st_size < full.stat().st_size
    assert made["file_bytes"] > stripped.stat().st_size


def test_plans_that_take_no_weights_are_not_refitted(vitrail, trt, tiny, pictures, tmp_path):
    out = tmp_path / "x.vtl"
    _, path = trt(name="fixed")
    assert vitrail.json("explain", path)["refittable"] is False
    text = refusal(vitrail, "refit", path, "--weights", tiny, "-o", out, expect=3)
    assert "was built without --refit" in text and "vitrail build --backend tensorrt --refit" in text
    plan = tmp_path / "e.plan"
    trt("--save-engine", plan, name="made")
    _, path = trt("--load-engine", plan, name="elsewhere")
    assert "was made elsewhere" in refusal(vitrail, "refit", path, "--weights", tiny, "-o", out, expect=3)
    _, path = trt("--target", "sm_89", precision="fp8", name="fp8_refit")
    assert "fp8 ranges were calibrated with the weights" in refusal(vitrail, "refit", path, "--weights", tiny, "-o", out, expect=3)
    assert not out.exists()


def test_int8_by_calibration(vitrail, trt, rtx, tiny, pictures, tmp_path):
    out, cache = tmp_path / "x.vtl", tmp_path / "calibration.cache"
    trt(name="there")
    build = ["build", tiny, "--backend", "tensorrt", "--precision", "int8", "-o", out]
    if rtx:  # so is it with 11
        text = refusal(vitrail, *build, "--calibrate", pictures, expect=4)
        assert "TensorRT-RTX" in text and "has no calibration of its own" in text and "vitrail quantize" in text
    elif GPU:
        vitrail(*build, "--calibrate", pictures, "--calibration-cache", cache)
        assert "-EntropyCalibration2" in cache.read_text().splitlines()[0]
        vitrail(*build, "--calibration-cache", cache)  # no pictures are needed now
    assert "--calibration-cache is for --precision int8, not for fp32" in refusal(
        vitrail, *build[:4], "--calibration-cache", cache, "-o", out, expect=2)
    quantized = tmp_path / "q.onnx"
    vitrail("quantize", tiny, "--images", pictures, "-o", quantized, "--max-drop", "1", "--min-cosine", "0")
    text = refusal(vitrail, "build", quantized, *build[2:], "--calibrate", pictures, expect=2)
    assert "stand in its Q/DQ pairs" in text


def test_options_of_the_builder(trt):
    for options in (["--opt-level", "0"], ["--hardware-compatible"], ["--workspace", "64MiB"]):
        made, _ = trt(*options, name="options")
        assert made["file_bytes"] > 10_000


def test_the_lean_runtime_is_named_where_it_is_missing(vitrail, trt, rtx, tiny, tmp_path):
    if not rtx:
        pytest.skip("this TensorRT has its lean runtime")
    text = refusal(vitrail, "build", tiny, "--backend", "tensorrt", "--version-compatible", "-o", tmp_path / "x.vtl", expect=4)
    assert "needs the lean runtime, libnvinfer_lean" in text


def test_targets(vitrail, trt, rtx, tiny, tmp_path):
    made, path = trt("--target", "sm_89", name="ada") if rtx else trt("--target", "current", name="here")
    assert made["file_bytes"] > 10_000
    every, _ = trt(name="every")
    if rtx:
        assert made["hash"] != every["hash"]
    text = refusal(vitrail, "build", tiny, "--backend", "tensorrt", "--target", "sm_61", "-o", tmp_path / "x.vtl", expect=4)
    assert "--target sm_61" in text


def test_timing_cache(vitrail, trt, tiny, tmp_path):
    cache = tmp_path / "timing.cache"
    trt("--timing-cache", cache, name="first")
    assert cache.exists()
    trt("--timing-cache", cache, name="again")
    cache.write_bytes(b"no timing cache at all, and longer than a header would be" * 8)
    text = refusal(vitrail, "build", tiny, "--backend", "tensorrt", "--timing-cache", cache, "-o", tmp_path / "x.vtl", expect=3)
    assert str(cache) in text and "delete it" in text


def test_a_workspace_that_is_too_small_says_how_much_is_needed(vitrail, trt, rtx, tiny, tmp_path):
    trt(name="there")
    arguments = ["build", tiny, "--backend", "tensorrt", "--precision", "fp16", "-o", tmp_path / "x.vtl", "--workspace"]
    text = refusal(vitrail, *arguments, "64KiB", expect=2)
    if rtx:
        assert "--workspace 65536: it is too small for TensorRT's builder" in text
        enough = re.search(r"give --workspace (\d+MiB)", text).group(1)
        vitrail(*arguments, enough)


def test_a_batch_outside_the_profiles(vitrail, trt, tmp_path):
    if not GPU:
        pytest.skip("an engine is loaded before its batch is looked at, and that needs a GPU")
    _, path = trt("--profile", "1:8:16", name="small")
    assert "128 is not between 1 and 16" in refusal(vitrail, "bench", path, "--batch", "128", expect=2)


def test_options_that_make_no_sense(vitrail, trt, tiny, tmp_path):
    out = tmp_path / "x.vtl"
    text = refusal(vitrail, "build", tiny, "--opt-level", "3", "-o", out, expect=2)
    assert "--opt-level is for --backend tensorrt, not for cpu" in text
    text = refusal(vitrail, "build", tiny, "--backend", "tensorrt", "--target", "hopper", "-o", out, expect=2)
    assert "--target 'hopper'" in text
    assert not out.exists()


def test_plugins(vitrail, trt, rtx, tiny, tmp_path):
    trt("--plugins", "off", name="plain")
    build = ["build", tiny, "--backend", "tensorrt", "--precision", "fp16", "-o", tmp_path / "x.vtl"]
    plan = tmp_path / "bare.plan"
    for choice in ("on", "auto"):
        if rtx:
            text = refusal(vitrail, *build, "--plugins", choice, expect=4)
            assert f"--plugins {choice}" in text and "TensorRT-RTX take no plugins" in text and "TensorRT 8.5 or newer" in text
            continue
        done = subprocess.run([BINARY, *map(str, build), "--plugins", choice, "--save-engine", str(plan)], capture_output=True, text=True)
        if done.returncode == 4:
            assert "compiled without Vitrail's CUDA kernels" in done.stderr and "-DVITRAIL_CUDA=ON" in done.stderr
        elif choice == "on":
            assert "trtexec and Triton need libvitrail_tensorrt.so" in done.stderr
    assert not rtx or not (tmp_path / "x.vtl").exists()
    # Without the option they are taken where they can be: never an error.
    made, _ = trt("--save-engine", plan, name="bare")
    assert not any(l["kernel"].startswith("Vitrail") for l in made["layers"])
    assert "--plugins is for --backend tensorrt, not for cpu" in refusal(
        vitrail, "build", tiny, "--plugins", "on", "-o", tmp_path / "x.vtl", expect=2)
    text = refusal(vitrail, *build, "--load-engine", plan, "--plugins", "on", expect=2)
    assert "as it was built" in text
    assert "sometimes" in refusal(vitrail, *build, "--plugins", "sometimes", expect=2)


def test_without_the_module_it_says_what_to_install(vitrail, tiny, tmp_path):
    out = tmp_path / "x.vtl"
    text = refusal(vitrail, "build", tiny, "--backend", "tensorrt", "-o", out, expect=4,
                   env={"VITRAIL_TENSORRT_MODULE": str(tmp_path / "nowhere.so")})
    assert "is not available here" in text
    assert "install TensorRT 8.5 or newer" in text and "-DTensorRT_ROOT=" in text
    assert not out.exists()


def test_a_library_without_the_entry_points(vitrail, trt, tiny, tmp_path):
    trt(name="there")  # skips where there is no module
    names = ["libtensorrt_rtx.so.1", "libnvinfer.so.8", "libnvinfer.so.10", "libnvinfer.so.11"]
    for name in names:
        subprocess.run(["cc", "-shared", "-x", "c", "-o", str(tmp_path / name), "-"], input=b"int nothing;", check=True)
    text = refusal(vitrail, "build", tiny, "--backend", "tensorrt", "-o", tmp_path / "x.vtl", expect=4,
                   env={"VITRAIL_TENSORRT_LIB": str(tmp_path)})
    assert "has no function createInferBuilder_INTERNAL" in text
    text = refusal(vitrail, "build", tiny, "--backend", "tensorrt", "-o", tmp_path / "x.vtl", expect=4,
                   env={"VITRAIL_TENSORRT_LIB": str(tmp_path / "empty")})
    assert "TensorRT's library cannot be opened" in text and "VITRAIL_TENSORRT_LIB" in text


def test_running_without_a_gpu_says_so(vitrail, trt, tmp_path):
    if GPU:
        pytest.skip("there is a GPU here")
    _, path = trt(name="nogpu")
    text = refusal(vitrail, "bench", path, "--iterations", "1", expect=4)
    assert "CUDA" in text or "driver" in text


def test_optimize_keeps_what_it_built_where_nothing_runs(vitrail, trt, tiny, pictures, tmp_path):
    if GPU:
        pytest.skip("there is a GPU here")
    trt(name="there")
    out = tmp_path / "out"
    text = refusal(vitrail, "optimize", tiny, "--backend", "tensorrt", "--precision", "fp32,fp16", "--images", pictures, "-o", out, expect=4)
    assert "CUDA" in text or "driver" in text
    assert f"{out}/engine_fp32.vtl, {out}/engine_fp16.vtl kept" in text
    for name in ("fp32", "fp16"):
        assert vitrail.json("explain", out / f"engine_{name}.vtl")["precision"] == name
    assert not (out / "report.html").exists()


def test_fp8_runs_the_products_in_8_bits(trt):
    made, _ = trt("--target", "sm_89", precision="fp8", name="fp8")
    linear = [l for l in made["layers"] if l["op"] == "Linear"]
    assert sum(l["precision"] == "float8_e4m3" for l in linear) > len(linear) / 2


def test_int8_takes_the_pairs_of_the_model(vitrail, trt, tiny, pictures, tmp_path):
    text = refusal(vitrail, "build", tiny, "--backend", "tensorrt", "--precision", "int8", "-o", tmp_path / "x.vtl", expect=2)
    assert "no Q/DQ pairs" in text
    quantized = tmp_path / "q.onnx"
    vitrail("quantize", tiny, "--images", pictures, "-o", quantized, "--max-drop", "1", "--min-cosine", "0")
    made, _ = trt(model=quantized, precision="int8", name="int8")
    linear = [l for l in made["layers"] if l["op"] == "QuantizedLinear"]
    assert linear and sum(l["precision"] == "int8" for l in linear) > len(linear) / 2


def test_a_plan_made_elsewhere(vitrail, trt, tiny, tmp_path):
    plan, no_plan = tmp_path / "e.plan", tmp_path / "no.plan"
    trt("--profile", "1:2:4", "--save-engine", plan, name="source")
    made, path = trt("--profile", "1:2:4", "--load-engine", plan, name="wrapped")
    assert plan.read_bytes() in path.read_bytes()
    assert vitrail.json("explain", path)["hash"] == made["hash"]
    no_plan.write_bytes(b"not a plan" * 10)
    text = refusal(vitrail, "build", tiny, "--backend", "tensorrt", "--load-engine", no_plan, "-o", tmp_path / "x.vtl", expect=3)
    assert "it is no TensorRT plan" in text
    text = refusal(vitrail, "build", tiny, "--backend", "tensorrt", "--load-engine", plan, "--opt-level", "3", "-o", tmp_path / "x.vtl",
                   expect=2)
    assert "as it was built" in text


def test_trtexec_builds_plans(vitrail, trt, tiny, tmp_path):
    trt(name="there")
    plan = tmp_path / "t.plan"
    done = vitrail("trtexec", f"--onnx={tiny}", "--fp16", "--minShapes=input:1x3x32x32", "--optShapes=input:4x3x32x32",
                   "--maxShapes=input:8x3x32x32", f"--saveEngine={plan}", "--buildOnly", "--dumpLayerInfo")
    assert plan.stat().st_size > 10_000 and "MultiHeadAttention" in done.stdout
    assert list(tmp_path.iterdir()) == [plan]
