# SPDX-License-Identifier: Apache-2.0
"""`vitrail quantize` and `vitrail compare` as a user runs them."""
import json
import os
import signal
import subprocess
import time

import numpy
import pytest
from conftest import BINARY, SHARED

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

# Integer products of ONNX Runtime and OpenVINO saturate on processors without VNNI (U8S8 with vpmaddubsw).
with open("/proc/cpuinfo") as cpu:
    FLAGS = cpu.read()
ALLOWED = 0.05 if "avx512_vnni" in FLAGS or "avx_vnni" in FLAGS else 0.5


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """Forty pictures of clouds of colour in two classes."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photographs")
    random = numpy.random.default_rng(1)
    for i in range(40):
        sub = folder / f"class{i % 2}"
        sub.mkdir(exist_ok=True)
        coarse = random.integers(0, 256, (4, 4, 3), dtype=numpy.uint8)
        Image.fromarray(coarse).resize((40, 32), Image.BICUBIC).save(sub / f"{i:02}.png")
    return folder


@pytest.fixture(scope="session")
def int8(vitrail, tiny, photographs, tmp_path_factory):
    """The tiny ViT in 8 bits and the JSON that quantize printed."""
    path = tmp_path_factory.mktemp("int8") / "tiny.int8.onnx"
    return path, vitrail.json("quantize", tiny, "--images", photographs, "-o", path, "--max-drop", "100%", "--min-cosine", 0)


def batch(model, seed=0, n=3):
    shape = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"]).get_inputs()[0].shape
    # Within the ranges that pictures reach.
    return numpy.random.default_rng(seed).standard_normal((n, *shape[1:]), dtype=numpy.float32).clip(-1.9, 1.9)


def run_onnxruntime(model, x, optimised=True):
    options = onnxruntime.SessionOptions()
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def run_vitrail(vitrail, model, x, folder, *flags):
    vitrail("build", model, "-o", folder / "m.vtl", *flags)
    numpy.save(folder / "x.npy", x)
    graph = onnx.load(str(model)).graph
    vitrail("run", folder / "m.vtl", "--input", f"{graph.input[0].name}={folder / 'x.npy'}",
            "--output", f"{graph.output[0].name}={folder / 'y.npy'}")
    return numpy.load(folder / "y.npy")


def test_the_model_is_standard_and_small(tiny, int8):
    path, report = int8
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    weights = {i.name: i for i in model.graph.initializer}
    products = [n for n in model.graph.node if n.op_type in ("MatMul", "Gemm", "Conv")]
    makers = {o: n for n in model.graph.node for o in n.output}
    integer = [n for n in products if n.input[1] in makers and makers[n.input[1]].op_type == "DequantizeLinear"]
    assert len(integer) == sum(layer["precision"] == "int8" for layer in report["layers"]) > 8
    for node in integer:
        numbers = weights[makers[node.input[1]].input[0]]
        assert numbers.data_type == onnx.TensorProto.INT8
        assert len(weights[makers[node.input[1]].input[1]].dims) == 1  # a scale for each output channel
        assert makers[node.input[0]].op_type == "DequantizeLinear"
    # The fc1 of every block has a weight of its own, so the file is nearly a quarter.
    assert path.stat().st_size < 0.5 * tiny.stat().st_size
    assert report["output_bytes"] == path.stat().st_size


def test_onnxruntime_and_vitrail_agree_on_it(vitrail, tiny, int8, tmp_path):
    x = batch(tiny)
    want = run_onnxruntime(int8[0], x, optimised=False)
    scale = numpy.abs(want).max()
    # As the file states it, but for a value that lies on a tie of a quantizer and falls to its other side.
    assert numpy.abs(run_vitrail(vitrail, int8[0], x, tmp_path) - want).max() < 0.01 * scale
    assert numpy.abs(run_vitrail(vitrail, int8[0], x, tmp_path, "--backend", "reference") - want).max() < 0.01 * scale
    # Without the rounding in front of the patches, which stay in float.
    assert numpy.abs(run_vitrail(vitrail, int8[0], x, tmp_path, "--precision", "int8") - want).max() < 0.05 * scale
    assert numpy.abs(run_onnxruntime(int8[0], x) - want).max() < ALLOWED * scale
    exact = run_onnxruntime(tiny, x)
    assert numpy.abs(want - exact).max() < 0.2 * numpy.abs(exact).max()


def test_openvino_agrees_on_it(tiny, int8):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(str(int8[0])), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    x = batch(tiny)
    want = run_onnxruntime(int8[0], x, optimised=False)
    assert numpy.abs(compiled(x)[0] - want).max() < ALLOWED * numpy.abs(want).max()


def test_every_product_becomes_an_integer_one(vitrail, int8, tmp_path):
    built = vitrail.json("build", int8[0], "-o", tmp_path / "e.vtl", "--precision", "int8")
    wanted = sum(layer["precision"] == "int8" and layer["op"] != "Conv" for layer in int8[1]["layers"])
    assert sum(layer["op"] == "QuantizedLinear" for layer in built["layers"]) == wanted


def test_the_same_images_give_the_same_bytes_and_the_table_can_be_used_again(vitrail, tiny, photographs, int8, tmp_path):
    flags = ["--images", photographs, "--max-drop", "100%", "--min-cosine", 0]
    table = tmp_path / "t.json"
    vitrail("quantize", tiny, *flags, "-o", tmp_path / "a.onnx", "--calibration", table, "--threads", 1)
    first = int8[0].with_name("tiny.int8.calibration.json")
    assert table.read_bytes() == first.read_bytes()
    assert (tmp_path / "a.onnx").read_bytes() == int8[0].read_bytes()
    again = vitrail.json("quantize", tiny, *flags, "-o", tmp_path / "b.onnx", "--reuse", table)
    assert again["calibration"]["hash"] == int8[1]["calibration"]["hash"]
    assert (tmp_path / "b.onnx").read_bytes() == int8[0].read_bytes()


def test_tables_of_two_halves_merge_to_that_of_the_whole(vitrail, tiny, photographs, int8, tmp_path):
    halves = []
    for name in ("class0", "class1"):
        halves.append(tmp_path / f"{name}.json")
        vitrail("quantize", tiny, "--images", photographs / name, "-o", tmp_path / "h.onnx", "--calibration", halves[-1],
                "--max-drop", "100%", "--min-cosine", 0)
    merged = vitrail.json("quantize", tiny, "--images", photographs, "-o", tmp_path / "m.onnx", "--max-drop", "100%",
                          "--min-cosine", 0, "--reuse", halves[0], "--reuse", halves[1])
    assert sum(s["samples"] for s in merged["calibration"]["sources"]) == 40
    assert (tmp_path / "m.onnx").stat().st_size
    for a, b in zip(merged["layers"], int8[1]["layers"]):
        assert a.get("input_scale") == b.get("input_scale"), a["name"]
    other = json.loads(halves[0].read_text())
    other["model_hash"] = "0" * 32
    halves[0].write_text(json.dumps(other))
    assert "another model" in vitrail("quantize", tiny, "--images", photographs, "-o", tmp_path / "n.onnx", "--reuse",
                                      halves[0], expect=3).stderr


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_methods_and_exclusions(vitrail, tiny, photographs, tmp_path, method):
    report = vitrail.json("quantize", tiny, "--images", photographs, "-o", tmp_path / "q.onnx", "--method", method,
                          "--no-smooth", "--exclude", "*fc1*", "--max-drop", "100%", "--min-cosine", 0.5)
    assert report["method"] == method and not report["smooth"]
    fc1 = [layer for layer in report["layers"] if "fc1" in layer["name"]]
    assert fc1 and all(layer["precision"] == "float32" and layer["reason"] == "--exclude" for layer in fc1)
    assert report["chosen"]["cosine"] > 0.9


@pytest.mark.parametrize("more", [(), ("--attention",)])
def test_symmetric_activations_compute_everywhere(vitrail, tiny, photographs, tmp_path, more):
    path = tmp_path / "q.onnx"
    report = vitrail.json("quantize", tiny, "--images", photographs, "-o", path, "--symmetric", "--max-drop", "100%",
                          "--min-cosine", 0.5, *more)
    assert report["symmetric"] and report["chosen"]["cosine"] > 0.99
    assert all(layer["input_zero_point"] == 0 for layer in report["layers"] if "input_zero_point" in layer)
    model = onnx.load(str(path))
    zeros = {i.name: i for i in model.graph.initializer}
    kinds = {zeros[n.input[2]].data_type for n in model.graph.node if n.op_type == "QuantizeLinear"}
    assert kinds == {onnx.TensorProto.INT8}
    x = batch(tiny)
    want = run_onnxruntime(path, x, optimised=False)
    scale = numpy.abs(want).max()
    # As in test_onnxruntime_and_vitrail_agree_on_it; one value on the other side of a tie counts for more with wider steps.
    assert numpy.abs(run_vitrail(vitrail, path, x, tmp_path) - want).max() < 0.03 * scale
    assert numpy.abs(run_vitrail(vitrail, path, x, tmp_path, "--precision", "int8") - want).max() < 0.05 * scale


def test_the_search_keeps_layers_in_float_until_the_bound_holds(vitrail, tiny, photographs, int8, tmp_path):
    loose = int8[1]["all_int8"]["cosine"]
    bound = 1 - (1 - loose) / 3
    report = vitrail.json("quantize", tiny, "--images", photographs, "-o", tmp_path / "q.onnx", "--max-drop", "100%",
                          "--min-cosine", bound)
    kept = [layer for layer in report["layers"] if layer["reason"].startswith("kept")]
    assert kept and report["met"] and report["chosen"]["cosine"] >= bound > report["all_int8"]["cosine"]
    assert any(layer["precision"] == "int8" for layer in report["layers"])


def test_few_and_broken_images_are_named(vitrail, tiny, photographs, tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "good.png").write_bytes((photographs / "class0/00.png").read_bytes())
    (folder / "broken.png").write_bytes(b"no picture")
    done = vitrail("quantize", tiny, "--images", folder, "-o", tmp_path / "q.onnx", "--max-drop", "100%", "--min-cosine", 0)
    assert "broken.png" in done.stderr and "1 images only" in done.stderr and "32" in done.stderr
    (folder / "good.png").unlink()
    assert "broken.png" in vitrail("quantize", tiny, "--images", folder, "-o", tmp_path / "r.onnx", expect=3).stderr
    assert not (tmp_path / "r.onnx").exists()


def test_bad_options(vitrail, tiny, photographs, int8, tmp_path):
    flags = ["quantize", tiny, "--images", photographs, "-o", tmp_path / "q.onnx"]
    assert "minmax" in vitrail(*flags, "--method", "guess", expect=2).stderr
    assert "0.3%" in vitrail(*flags, "--max-drop", "much", expect=2).stderr
    assert "quantized already" in vitrail("quantize", int8[0], "--images", photographs, "-o", tmp_path / "r.onnx",
                                          expect=3).stderr
    assert "matches no layer" in vitrail(*flags, "--exclude", "nothing", "--max-drop", "100%", "--min-cosine", 0).stderr


def test_interrupted_calibration_keeps_what_was_gathered(vitrail, tiny, photographs, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    data = (photographs / "class0/00.png").read_bytes()
    for i in range(4000):
        (many / f"{i}.png").write_bytes(data)
    table = tmp_path / "t.json"
    process = subprocess.Popen([BINARY, "quantize", tiny, "--images", many, "--samples", "1000000", "-o", tmp_path / "q.onnx",
                                "--calibration", table], stderr=subprocess.PIPE, text=True)
    while "calibrate" not in process.stderr.readline():
        pass
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "--reuse" in error and not (tmp_path / "q.onnx").exists()
    gathered = json.loads(table.read_text())["sources"][0]["samples"]
    assert 0 < gathered < 4000
    again = vitrail.json("quantize", tiny, "--images", photographs, "-o", tmp_path / "q.onnx", "--reuse", table,
                         "--max-drop", "100%", "--min-cosine", 0)
    assert again["calibration"]["sources"][0]["samples"] == gathered


def test_the_certificate_says_how_it_was_quantized(vitrail, tiny, int8, photographs, tmp_path):
    engine = tmp_path / "e.vtl"
    vitrail("build", int8[0], "-o", engine, "--precision", "int8")
    for reference in (int8[0], tiny):  # the quantized model, and the float one that it was made from
        report = vitrail.json("verify", engine, "--reference", reference, "--images", photographs, "--samples", 4,
                              "--max-scaled-error", 0.5, "--min-cosine", 0.9, "--certify")
        assert report["passed"], report["failures"]
        made = report["quantization"]
        assert made["calibration_hash"] == int8[1]["calibration"]["hash"] and made["method"] == "mse"
        assert made["agreement"]["cosine"] == pytest.approx(int8[1]["chosen"]["cosine"])
        assert len(made["float_layers"]) == sum(layer["precision"] == "float32" for layer in int8[1]["layers"])
    assert vitrail.json("explain", engine)["quantization"]["method"] == "mse"


def test_compare_and_report(vitrail, tiny, int8, photographs, tmp_path):
    comparison = vitrail.json("compare", tiny, int8[0], tiny, "--images", photographs)
    ours, same = comparison["candidates"]
    assert comparison["samples"] == 40 and same["top1_agreement"] == 1 and same["cosine"] == pytest.approx(1, abs=1e-9)
    assert ours["cosine"] == pytest.approx(int8[1]["chosen"]["cosine"], abs=1e-6)
    assert ours["integer_products"] > 0 and same["integer_products"] == 0
    (tmp_path / "c.json").write_text(json.dumps(comparison))
    (tmp_path / "q.json").write_text(json.dumps(int8[1]))
    vitrail("report", tmp_path / "c.json", tmp_path / "q.json", "-o", tmp_path / "out")
    html, markdown = ((tmp_path / "out" / f"report.{e}").read_text() for e in ("html", "md"))
    assert "Sensitivity" in html and "Quantized models" in html and "<svg" in html
    for layer in int8[1]["layers"]:
        assert layer["name"] in html
    assert "Quantized models" in markdown and "tiny.int8" in markdown
    text = vitrail("compare", tiny, int8[0], "--images", photographs, "--samples", 5).stdout
    assert "On 5 samples" in text


def test_accuracy_is_kept_on_a_trained_model(vitrail, shared_model, tmp_path):
    data = SHARED / "cifar10"
    sides = ["--preprocess", shared_model.with_name("dinov2s_cifar10.preprocess.json"),
             "--labels", shared_model.with_name("dinov2s_cifar10.labels.txt")]
    path = tmp_path / "dinov2s.int8.onnx"
    report = vitrail.json("quantize", shared_model, *sides, "--images", data / "train", "--samples", 48, "-o", path,
                          "--search-samples", 24, "--sensitivity-samples", 1)
    # Whole test set: docs/benchmarks/int8.md. Here 40 of its images, to be quick.
    comparison = vitrail.json("compare", shared_model, path, *sides, "--images", data / "test", "--samples", 40)
    ours = comparison["candidates"][0]
    assert ours["cosine"] > 0.9995 and ours["top1_agreement"] == 1
    assert ours["accuracy"] == comparison["reference"]["accuracy"] > 0.9
    assert sum(layer["precision"] == "int8" for layer in report["layers"]) >= 46
    assert path.stat().st_size < 0.3 * shared_model.stat().st_size
