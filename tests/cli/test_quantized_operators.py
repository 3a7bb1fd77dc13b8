# SPDX-License-Identifier: Apache-2.0
"""Quantized operators one by one (as ONNX Runtime runs them) and Q/DQ in 8-bit floats (as ml_dtypes rounds).

NVIDIA ModelOpt wants a GPU build, so graphs in its style (weights in float8e4m3fn behind a DequantizeLinear, trt:: operators, scales in
16 bits) are written with onnx.helper here.
"""
import numpy
import pytest

onnx = pytest.importorskip("onnx")
ml_dtypes = pytest.importorskip("ml_dtypes")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

MICROSOFT = "com.microsoft"
RANDOM = numpy.random.default_rng(7)


def node(op, inputs, outputs, domain="", **attributes):
    return helper.make_node(op, inputs, outputs, name=outputs[0], domain=domain, **attributes)


def save(path, nodes, constants, shape, opset=21, outputs=("y",)):
    tensors = [t if isinstance(t, TensorProto) else numpy_helper.from_array(numpy.asarray(t), name) for name, t in constants.items()]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info(y, TensorProto.FLOAT, None) for y in outputs], tensors)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1), helper.make_opsetid("trt", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)
    return path


def run(vitrail, model, x, folder, backend="reference"):
    numpy.save(folder / "x.npy", x)
    vitrail("build", model, "-o", folder / "e.vtl", "--backend", backend, "--profile", f"{len(x)}:{len(x)}:{len(x)}")
    vitrail("run", folder / "e.vtl", "--input", f"x={folder / 'x.npy'}", "--output", f"y={folder / 'y.npy'}")
    return numpy.load(folder / "y.npy")


def onnxruntime_output(model, x):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def quantized(dtype, *shape, bits=8):
    info = numpy.iinfo(dtype)
    return RANDOM.integers(info.min >> 8 - bits, (info.max >> 8 - bits) + 1, shape).astype(dtype)


# Name: (operator, domain, inputs behind x (numbers, scale, zero point), attributes, shape of x)
X = ["xq", "xs", "xz"]
W, A, B, Y = ["w", "ws", "wz"], ["a", "as", "az"], ["b"], ["ys", "yz"]
OPERATORS = {
    "QLinearMatMul": ("", X + W + Y, {}, (2, 5, 16), (16, 12)),
    "QLinearConv": ("", X + W + Y + B, {"strides": [4, 4]}, (2, 3, 8, 8), (12, 3, 4, 4)),
    "QGemm": (MICROSOFT, X + W + B + Y, {"transB": 1, "alpha": 0.5}, (5, 16), (12, 16)),
    "QGemm_to_float": (MICROSOFT, X + W + B, {}, (5, 16), (16, 12)),
    "QLinearAdd": (MICROSOFT, X + A + Y, {}, (2, 5, 12), (12,)),
    "QLinearMul": (MICROSOFT, X + A + Y, {}, (2, 5, 12), (12,)),
    "QLinearSigmoid": (MICROSOFT, X + Y, {}, (2, 5, 12), (1,)),
    "QLinearLeakyRelu": (MICROSOFT, X + Y, {"alpha": 0.1}, (2, 5, 12), (1,)),
    "QLinearSoftmax": (MICROSOFT, X + Y, {"axis": -1, "opset": 13}, (2, 5, 12), (1,)),
    "QLinearAveragePool": (MICROSOFT, X + Y, {"kernel_shape": [2, 2]}, (2, 3, 6, 6), (1,)),
    "QLinearGlobalAveragePool": (MICROSOFT, X + Y, {}, (2, 3, 6, 6), (1,)),
    "QLinearConcat": (MICROSOFT, Y + X + X, {"axis": 1}, (2, 5, 12), (1,)),
    "QLinearWhere": (MICROSOFT, ["mask"] + X + A + Y, {}, (2, 5, 12), (12,)),
}


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("name", OPERATORS)
def test_operator_as_in_onnxruntime(vitrail, tmp_path, name, dtype):
    domain, inputs, attributes, shape, right = OPERATORS[name]
    op, is_product = name.split("_")[0], "Conv" in name or "MatMul" in name or "QGemm" in name
    channels = 12 if is_product else 1
    scale = RANDOM.uniform(0.005, 0.02, channels).astype(numpy.float32) if is_product else numpy.float32(0.03)
    x_scale, zero = numpy.float32(0.04), numpy.dtype(dtype).type(120 if dtype == "uint8" else 3)
    y_scale = numpy.float32(0.3 if is_product else 0.004 if op in ("QLinearSigmoid", "QLinearSoftmax") else 0.05)
    # Weights of 7 bits: ONNX Runtime's sums of uint8 and int8 saturate on processors without VNNI.
    weights = quantized("int8", *right, bits=7 if is_product else 8)
    constants = {"xs": x_scale, "xz": zero, "w": weights, "ws": scale, "wz": numpy.zeros(channels, numpy.int8),
                 "a": quantized(dtype, *right), "as": numpy.float32(0.03), "az": zero, "ys": y_scale, "yz": zero,
                 "b": RANDOM.integers(-3000, 3000, 12).astype(numpy.int32), "mask": RANDOM.integers(0, 2, 12).astype(bool)}
    to_float = name.endswith("to_float")
    nodes = [node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]), node(op, inputs, ["y" if to_float else "yq"], domain, **attributes)]
    if not to_float:
        nodes.append(node("DequantizeLinear", ["yq", "ys", "yz"], ["y"]))
    used = {i for n in nodes for i in n.input}
    model = save(tmp_path / "m.onnx", nodes, {k: v for k, v in constants.items() if k in used}, ["N", *shape[1:]])
    x = RANDOM.normal(0, 1.5, shape).astype(numpy.float32)
    want = onnxruntime_output(model, x)
    for backend in ("reference", "cpu"):
        got = run(vitrail, model, x, tmp_path, backend)
        assert got.shape == want.shape and len(numpy.unique(want)) >= 5
        if to_float:
            numpy.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
            continue
        steps = numpy.abs(got - want) / y_scale  # a result at a tie may fall to its other side
        # ONNX Runtime's softmax and mean of integers round twice.
        share = 0.15 if op in ("QLinearSoftmax", "QLinearGlobalAveragePool") else 0.02
        assert steps.max() <= 1.01 and (steps > 0.5).mean() <= share


@pytest.mark.parametrize("kind", ["MatMulInteger", "ConvInteger"])
def test_integer_sums_are_exact(vitrail, tmp_path, kind):
    is_conv = kind == "ConvInteger"
    weights = quantized("uint8", *((6, 3, 4, 4) if is_conv else (32, 7)))
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node(kind, ["q", "w", "z", "wz"], ["sum"]),
             node("Cast", ["sum"], ["y"], to=TensorProto.FLOAT)]
    constants = {"s": numpy.float32(0.02), "z": numpy.uint8(117), "w": weights, "wz": numpy.uint8(99)}
    shape = (2, 3, 9, 9) if is_conv else (3, 4, 32)
    model = save(tmp_path / "m.onnx", nodes, constants, ["N", *shape[1:]])
    x = RANDOM.standard_normal(shape, dtype=numpy.float32)
    for backend in ("reference", "cpu"):
        numpy.testing.assert_array_equal(run(vitrail, model, x, tmp_path, backend), onnxruntime_output(model, x))


@pytest.mark.parametrize("x", ["normal", "positive", "zero"])
def test_dynamic_quantize_linear(vitrail, tmp_path, x):
    nodes = [node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]), node("DequantizeLinear", ["q", "s", "z"], ["y"])]
    model = save(tmp_path / "m.onnx", nodes, {}, ["N", 300])
    values = RANDOM.standard_normal((2, 300), dtype=numpy.float32) * (x != "zero") + 5 * (x == "positive")
    values = values.astype(numpy.float32)
    got, want = run(vitrail, model, values, tmp_path), onnxruntime_output(model, values)
    numpy.testing.assert_array_equal(got, want)


FLOAT8 = {"FLOAT8E4M3FN": ml_dtypes.float8_e4m3fn, "FLOAT8E5M2": ml_dtypes.float8_e5m2}


def float8_zero(kind, name):
    return helper.make_tensor(name, getattr(TensorProto, kind), [], [0.0])


@pytest.mark.parametrize("kind", FLOAT8)
def test_float8_pair_rounds_as_ml_dtypes(vitrail, tmp_path, kind):
    """Every float16 number that is finite, and what lies beside it in float32: all ties are among them."""
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["y"])]
    model = save(tmp_path / "m.onnx", nodes, {"s": numpy.float32(1), "z": float8_zero(kind, "z")}, ["N", 4])
    halves = numpy.arange(65536, dtype=numpy.uint16).view(numpy.float16).astype(numpy.float32)
    halves = halves[numpy.isfinite(halves)]
    x = numpy.concatenate([halves, numpy.nextafter(halves, numpy.float32(numpy.inf)), numpy.float32([1e30, -1e30, 3e38, -3e38])])
    largest = numpy.float32(ml_dtypes.finfo(FLOAT8[kind]).max)
    want = numpy.clip(x, -largest, largest).astype(FLOAT8[kind]).astype(numpy.float32)
    got = run(vitrail, model, x.reshape(-1, 4), tmp_path).reshape(-1)
    numpy.testing.assert_array_equal(got.view(numpy.uint32), want.view(numpy.uint32))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("style", ["onnx", "trt", "bfloat16", "float16"])
def test_float8_model(vitrail, tmp_path, style, backend):
    """ModelOpt's form: x in a pair, weights [out, in] in float8 behind a DequantizeLinear and a Transpose."""
    scale_type = {"bfloat16": ml_dtypes.bfloat16, "float16": numpy.float16}.get(style, numpy.float32)
    weights = RANDOM.normal(0, 60, (24, 32)).astype(ml_dtypes.float8_e4m3fn)
    xs, ws = numpy.asarray(0.01, scale_type), numpy.asarray(0.0025, scale_type)
    domain, prefix = ("trt", "TRT_FP8") if style == "trt" else ("", "")
    zero = [] if style == "trt" else ["z"]
    wide = style in ("bfloat16", "float16")
    cast = [node("Cast", ["x"], ["xc"], to=helper.np_dtype_to_tensor_dtype(numpy.dtype(scale_type)))] if wide else []
    nodes = cast + [
        node(f"{prefix}QuantizeLinear", ["xc" if wide else "x", "xs", *zero], ["q"], domain),
        node(f"{prefix}DequantizeLinear", ["q", "xs", *zero], ["xd"], domain),
        node(f"{prefix}DequantizeLinear", ["w", "ws", *zero], ["wd"], domain),
        node("Transpose", ["wd"], ["wt"], perm=[1, 0]), node("MatMul", ["xd", "wt"], ["yc" if wide else "y"])]
    if wide:
        nodes.append(node("Cast", ["yc"], ["y"], to=TensorProto.FLOAT))
    w = helper.make_tensor("w", TensorProto.UINT8 if style == "trt" else TensorProto.FLOAT8E4M3FN, weights.shape, weights.tobytes(), raw=True)
    constants = {"xs": xs, "ws": ws, "w": w} | ({} if style == "trt" else {"z": float8_zero("FLOAT8E4M3FN", "z")})
    model = save(tmp_path / "m.onnx", nodes, constants, ["N", 6, 32])
    x = RANDOM.normal(0, 1, (2, 6, 32)).astype(numpy.float32)

    xc, s = x.astype(scale_type).astype(numpy.float32), numpy.float32(xs)
    xd = numpy.clip(xc / s, -448, 448).astype(ml_dtypes.float8_e4m3fn).astype(numpy.float32) * s
    wd = weights.astype(numpy.float32) * numpy.float32(ws)
    want = (xd.astype(scale_type).astype(float) @ wd.astype(scale_type).astype(float).T)
    step = {"bfloat16": 2.0**-7, "float16": 2.0**-10}.get(style, 1e-6)
    got = run(vitrail, model, x, tmp_path, backend)
    numpy.testing.assert_allclose(got, want, rtol=step, atol=step * numpy.abs(want).max())
    report = vitrail.json("inspect", model)["quantization"]
    assert report["scheme"] == "Q/DQ in float8" and report["weight_bytes"] == weights.size
    assert [p["integer"] for p in report["products"]] == [False] and "float8" in report["products"][0]["reason"]


def test_int4_weights_are_refused(vitrail, tmp_path):
    w = helper.make_tensor("w", TensorProto.INT4, (4, 4), [1] * 16)
    nodes = [node("DequantizeLinear", ["w", "s"], ["wd"]), node("MatMul", ["x", "wd"], ["y"])]
    model = save(tmp_path / "m.onnx", nodes, {"w": w, "s": numpy.float32(1)}, ["N", 4])
    assert "quantize the weights to 8 bits" in vitrail("inspect", model, expect=3).stderr
