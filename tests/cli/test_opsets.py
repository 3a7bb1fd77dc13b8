# SPDX-License-Identifier: Apache-2.0
"""Opsets 11 to 23 by both exporters, 16-bit models, external data: the same ViT, and what PyTorch computes."""
import sys

import numpy
import onnx
import pytest
from conftest import BINARY, ROOT

sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests/tools")]
torch = pytest.importorskip("torch")
import timm_variants as variants  # noqa: E402
import vitrail as package  # noqa: E402

X = torch.zeros(2, 3, variants.SIZE, variants.SIZE)


def export(module, path, **options):
    return package.export(module, X, path, binary=BINARY, seeds=(0,), batches=(1, 3), say=lambda line: None, **options)


# dynamo below 18 and TorchScript above 20 do not exist. Fused attention is one operator from opset 23 on.
@pytest.mark.parametrize("exporter, opset", [*(("torchscript", opset) for opset in (11, 12, 13, 14, 16, 20)),
                                             *(("dynamo", opset) for opset in (18, 21, 23))])
def test_every_opset_is_recognised_whole(vitrail, tmp_path, exporter, opset):
    model = variants.build("cls", exporter == "dynamo")
    report = export(model, tmp_path / "m.onnx", exporter=exporter, opset=opset)
    assert report.worst < 1e-5 and report.opset == opset
    written = onnx.load(tmp_path / "m.onnx")
    assert next(o.version for o in written.opset_import if not o.domain) == opset
    seen = {n.op_type for n in written.graph.node}
    assert ("Attention" in seen) == (opset >= 23)
    inspected = vitrail.json("inspect", tmp_path / "m.onnx")
    assert inspected["structure"]["blocks"] == 2 and not any(layer["kernel"] == "reference" for layer in inspected["layers"])
    assert sum(layer["op"] == "MultiHeadAttention" for layer in inspected["layers"]) == 2


class Half(torch.nn.Module):
    """The model in 16 bits between a cast in and a cast out: NumPy's files have no bfloat16."""

    def __init__(self, model, dtype):
        super().__init__()
        self.model, self.dtype = model.to(dtype), dtype

    def forward(self, x):
        return self.model(x.to(self.dtype)).float()


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
@pytest.mark.parametrize("dtype, unit", [(torch.float16, 2**-11), (torch.bfloat16, 2**-8)])
def test_16_bit_models(vitrail, tmp_path, dtype, unit, exporter):
    half = Half(variants.build("cls", False), dtype).eval()
    variants.export(half, str(tmp_path / "m.onnx"), "ts17" if exporter == "torchscript" else "dyn20")
    vitrail("build", tmp_path / "m.onnx", "-o", tmp_path / "m.vtl", "--profile", "1:3:4")
    x = torch.randn(3, 3, variants.SIZE, variants.SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        exact = half.model.float()(x.to(dtype).float()).numpy()  # the rounded weights, computed in float32
        half.model.to(dtype)
        theirs = half(x).numpy()
    numpy.save(tmp_path / "x.npy", x.numpy())
    vitrail("run", tmp_path / "m.vtl", "--input", f"input={tmp_path / 'x.npy'}", "--output", f"output={tmp_path / 'y.npy'}")
    ours = numpy.load(tmp_path / "y.npy")
    largest = numpy.abs(exact).max()
    # Rounding once a layer: a few units of the last place, and not far above what PyTorch's own 16-bit kernels make.
    error = numpy.abs(ours - exact).max() / largest
    assert error < 16 * unit and error < 4 * max(numpy.abs(theirs - exact).max() / largest, unit)


def test_16_bit_models_reach_the_fast_path_with_pictures_and_arrays(vitrail, pictures, tmp_path):
    """As `module.half()` is exported: float16 from input to output, which an engine takes and gives in float32."""
    half = variants.build("cls", False).half().eval()
    torch.onnx.export(half, (X.half(),), str(tmp_path / "m.onnx"), dynamo=False, opset_version=17, input_names=["input"],
                      output_names=["output"], dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}})
    assert onnx.load(tmp_path / "m.onnx").graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    inspected = vitrail.json("inspect", tmp_path / "m.onnx")
    assert inspected["structure"]["blocks"] == 2 and not any(layer["kernel"] == "reference" for layer in inspected["layers"])
    assert any("float16" in w and "--precision" in w for w in inspected["warnings"])
    vitrail("build", tmp_path / "m.onnx", "-o", tmp_path / "m.vtl")
    x = torch.randn(3, 3, variants.SIZE, variants.SIZE, generator=torch.Generator().manual_seed(1)).half()
    numpy.save(tmp_path / "x.npy", x.numpy())
    vitrail("run", tmp_path / "m.vtl", "--input", f"input={tmp_path / 'x.npy'}", "--output", f"output={tmp_path / 'y.npy'}")
    with torch.no_grad():
        want = half.float()(x.float()).numpy()
    # The exporter rounds numbers of its own, as those of GELU, to 16 bits.
    numpy.testing.assert_allclose(numpy.load(tmp_path / "y.npy"), want, atol=2e-4 * numpy.abs(want).max())
    assert vitrail.json("run", tmp_path / "m.vtl", "--image", pictures / "class0/picture.png")["results"][0]["top"]
    assert vitrail.json("verify", tmp_path / "m.vtl", "--reference", tmp_path / "m.onnx", "--images", pictures)["passed"]


def test_weights_beside_a_large_model(vitrail, tmp_path, monkeypatch):
    from vitrail import exporters

    monkeypatch.setattr(exporters, "_is_large", lambda module: True)
    report = export(variants.build("cls", False), tmp_path / "m.onnx", exporter="dynamo")
    assert report.worst < 1e-5 and (tmp_path / "m.onnx.data").stat().st_size > 50_000
    assert vitrail.json("build", tmp_path / "m.onnx", "-o", tmp_path / "m.vtl")["hash"]
