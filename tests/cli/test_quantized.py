# SPDX-License-Identifier: Apache-2.0
"""Models that ONNX Runtime quantized (Q/DQ pairs): run as ONNX Runtime runs them, and as integer products."""
import collections

import numpy
import pytest

quantization = pytest.importorskip("onnxruntime.quantization")
PRODUCTS = {"op_types_to_quantize": ["MatMul", "Gemm"], "per_channel": True}
KINDS = [(scope, activation) for scope in ("everything", "products") for activation in ("QUInt8", "QInt8")]
# QuantFormat.QOperator: activation, weights, per channel
OPERATORS = [("QUInt8", "QInt8", True), ("QInt8", "QInt8", True), ("QUInt8", "QUInt8", False), ("QUInt8", "QInt8", False)]


class Calibration(quantization.CalibrationDataReader):
    def __init__(self, batches):
        self.batches = iter(batches)

    def get_next(self):
        x = next(self.batches, None)
        return None if x is None else {"input": x}


@pytest.fixture(scope="session")
def quantized(tiny, tmp_path_factory):
    """Makes the model of a kind once."""
    folder, made = tmp_path_factory.mktemp("quantized"), {}
    random = numpy.random.default_rng(0)
    batches = [random.standard_normal((2, 3, 32, 32), dtype=numpy.float32) for _ in range(4)]

    def make(scope, activation):
        path = made.get((scope, activation))
        if path is None:
            path = made[scope, activation] = folder / f"{scope}_{activation}.onnx"
            quantization.quantize_static(
                tiny, path, Calibration(batches), quant_format=quantization.QuantFormat.QDQ,
                activation_type=getattr(quantization.QuantType, activation), weight_type=quantization.QuantType.QInt8,
                **(PRODUCTS if scope == "products" else {}))
        return path

    return make


def run(vitrail, engine, x, folder):
    numpy.save(folder / "x.npy", x)
    vitrail("run", engine, "--input", f"input={folder / 'x.npy'}", "--output", f"output={folder / 'y.npy'}")
    return numpy.load(folder / "y.npy")


def onnxruntime_output(path, x):
    """Of the model's own arithmetic, node by node."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0]


def last_step(path):
    """The step of the quantization that ends the model."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    last = next(n for n in graph.node if graph.output[0].name in n.output)
    assert last.op_type == "DequantizeLinear"
    return float(numpy_helper.to_array(next(i for i in graph.initializer if i.name == last.input[1])))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_runs_as_in_onnxruntime(vitrail, quantized, tmp_path, kind, backend):
    model, engine = quantized(*kind), tmp_path / "q.vtl"
    vitrail("build", model, "-o", engine, "--backend", backend, "--profile", "1:3:4")
    for batch in (1, 3):
        x = numpy.random.default_rng(batch).standard_normal((batch, 3, 32, 32), dtype=numpy.float32)
        got, want = run(vitrail, engine, x, tmp_path), onnxruntime_output(model, x)
        step = last_step(model)
        assert numpy.ptp(want) > 20 * step
        # Sums in another order put a number that lies at a tie on its other side, now and then.
        assert numpy.abs(got - want).max() <= 1.01 * step


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_products_become_integer_products(vitrail, quantized, tmp_path, kind):
    engine = tmp_path / "q.vtl"
    vitrail("build", quantized(*kind), "-o", engine)
    layers = vitrail.json("explain", engine)["layers"]
    made = [layer for layer in layers if layer["op"] == "QuantizedLinear"]
    assert len(made) == 2 * 4 + 1  # qkv, projection and two MLP layers a block; the head
    assert all(layer["kernel"] == "gemm_u8s8" and layer["precision"] == "int8" for layer in made)


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_without_fake_quantization_attention_fuses(vitrail, quantized, tiny, tmp_path, kind):
    model, engine = quantized(*kind), tmp_path / "q.vtl"
    vitrail("build", model, "-o", engine, "--profile", "1:3:4", "--drop-fake-quantization")
    operators = collections.Counter(layer["op"] for layer in vitrail.json("explain", engine)["layers"])
    # Head and blocks as in the float model, the class token out of the last attention and of the stream beside it. Layers
    # quantize what they write for a product themselves; only behind that class token and before the head does no layer do so.
    assert operators == {"PatchEmbed": 1, "LayerNormalization": 5, "MultiHeadAttention": 2, "Slice": 2, "Reshape": 1,
                         "QuantizedLinear": 9, "QuantizeLinear": 2}
    x = numpy.random.default_rng(5).standard_normal((3, 3, 32, 32), dtype=numpy.float32)
    got, floats, exact = run(vitrail, engine, x, tmp_path), onnxruntime_output(tiny, x), onnxruntime_output(model, x)
    assert numpy.abs(got - floats).max() <= 0.1 * numpy.abs(floats).max()
    assert numpy.abs(got - floats).mean() <= numpy.abs(exact - floats).mean()  # less rounding, less error


@pytest.fixture(scope="session")
def operators(tiny, tmp_path_factory):
    """Makes the QOperator model of a kind once."""
    folder, made = tmp_path_factory.mktemp("operators"), {}
    random = numpy.random.default_rng(0)
    batches = [random.standard_normal((2, 3, 32, 32), dtype=numpy.float32) for _ in range(4)]

    def make(activation, weights, per_channel):
        path = made.get((activation, weights, per_channel))
        if path is None:
            path = made[activation, weights, per_channel] = folder / f"{activation}_{weights}_{per_channel}.onnx"
            quantization.quantize_static(
                tiny, path, Calibration(batches), quant_format=quantization.QuantFormat.QOperator, per_channel=per_channel,
                reduce_range=weights == "QInt8",  # else ONNX Runtime's own sums saturate on processors without VNNI
                activation_type=getattr(quantization.QuantType, activation), weight_type=getattr(quantization.QuantType, weights))
        return path

    return make


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("kind", OPERATORS, ids=lambda k: f"{k[0]}-{k[1]}-{k[2]}")
def test_quantized_operators_run_as_in_onnxruntime(vitrail, operators, tmp_path, kind, backend):
    model, engine = operators(*kind), tmp_path / "q.vtl"
    vitrail("build", model, "-o", engine, "--backend", backend, "--profile", "1:3:4")
    x = numpy.random.default_rng(3).standard_normal((3, 3, 32, 32), dtype=numpy.float32)
    got, want = run(vitrail, engine, x, tmp_path), onnxruntime_output(model, x)
    step = last_step(model)
    assert numpy.ptp(want) > 20 * step
    # Every layer rounds to 8 bits: a number at a tie that falls to its other side moves the layers behind it, and ONNX
    # Runtime's softmax of integers, which rounds twice, has one in ten of its results a step off.
    assert numpy.abs(got - want).max() <= 12 * step
    assert numpy.abs(got - want).mean() <= 2 * step
    for one, other in zip(got, want):
        assert one @ other / numpy.sqrt((one @ one) * (other @ other)) > 0.99


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda k: f"{k[0]}-{k[1]}-{k[2]}")
def test_inspect_tells_what_runs_in_integers(vitrail, operators, kind):
    report = vitrail.json("inspect", operators(*kind))["quantization"]
    assert report["scheme"] == "QOperator"
    floats = [p for p in report["products"] if not p["integer"]]
    symmetric = kind[1] == "QInt8"
    if symmetric:
        assert report["integer_products"] == 2 * 4 + 1
        reasons = collections.Counter(p["reason"].split(";")[0] for p in floats)
        assert reasons == {"both of its sides are activations": 4, "a convolution": 1}
    else:
        assert any("zero point" in p["reason"] for p in floats)
    assert all(p["reason"] for p in floats) and len(report["products"]) == 2 * 6 + 2
    text = vitrail("inspect", operators(*kind)).stdout
    assert f"Quantization: QOperator, {report['integer_products']} of 14 products in integers" in text


def test_float_model_has_no_quantization(vitrail, tiny):
    assert vitrail.json("inspect", tiny)["quantization"]["scheme"] == "none"


@pytest.mark.parametrize("weights", ["QInt8", "QUInt8"])
def test_dynamic_quantization(vitrail, tiny, tmp_path, weights):
    model, engine = tmp_path / "d.onnx", tmp_path / "d.vtl"
    quantization.quantize_dynamic(tiny, model, weight_type=getattr(quantization.QuantType, weights),
                                  op_types_to_quantize=["MatMul", "Gemm"], reduce_range=weights == "QInt8")
    x = numpy.random.default_rng(3).standard_normal((3, 3, 32, 32), dtype=numpy.float32)
    want = onnxruntime_output(model, x)
    assert numpy.abs(want - onnxruntime_output(tiny, x)).max() > 1e-3
    for backend in ("cpu", "reference"):
        vitrail("build", model, "-o", engine, "--backend", backend, "--profile", "1:3:4")
        got = run(vitrail, engine, x, tmp_path)
        # What is quantized anew in each layer may fall to the other side of a tie.
        assert numpy.abs(got - want).max() <= 0.02 * numpy.abs(want).max()
    report = vitrail.json("inspect", model)["quantization"]
    # Numbers of uint8 less their zero point need 9 bits.
    assert report["integer_products"] >= (2 * 4 if weights == "QInt8" else 0)
