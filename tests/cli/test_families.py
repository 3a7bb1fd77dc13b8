# SPDX-License-Identifier: Apache-2.0
"""The real classes of timm, transformers and torchvision (tests/tools/families.py), through both of PyTorch's exporters: every
output as PyTorch computed it, on the reference backend and on the CPU's."""
import re

import numpy
import pytest
from conftest import EXPORTS, ROOT

FOLDER = EXPORTS / "families"
NAMES = sorted(p.stem for suffix in ("onnx", "failed") for p in FOLDER.glob(f"*.{suffix}"))


@pytest.mark.parametrize("name", NAMES)
def test_family_computes_what_pytorch_does(vitrail, tmp_path, name):
    failed = FOLDER / f"{name}.failed"
    assert not failed.exists(), failed.read_text()
    data = numpy.load(FOLDER / f"{name}.npz")
    wanted = {b: {key.partition(".")[2]: data[key] for key in data.files if key.startswith(f"y{b}.")} for b in (1, 3)}
    for backend in ("reference", "cpu"):
        engine = tmp_path / f"{backend}.vtl"
        vitrail("build", FOLDER / f"{name}.onnx", "-o", engine, "--backend", backend, "--profile", "1:3:4")
        for batch in (1, 3):
            x = tmp_path / "x.npy"
            numpy.save(x, data[f"x{batch}"])
            files = {output: tmp_path / f"{i}.npy" for i, output in enumerate(wanted[batch])}
            flags = [word for output, file in files.items() for word in ("--output", f"{output}={file}")]
            vitrail("run", engine, "--input", f"{input_name(name)}={x}", *flags)
            for output, want in wanted[batch].items():
                got = numpy.load(files[output])
                assert (got.shape, got.dtype) == (want.shape, want.dtype), (backend, batch, output)
                error = numpy.abs(got.astype(float) - want).max() / max(1, numpy.abs(want).max())
                assert error <= 2e-5, f"{backend}, batch {batch}: output '{output}' is off by {error:.2e} of its largest magnitude"


def input_name(name):
    import onnx

    return onnx.load(FOLDER / f"{name}.onnx", load_external_data=False).graph.input[0].name


def test_no_family_is_missing():
    """Both exporters of each family, but for those that are left out with a reason."""
    text = (ROOT / "tests/tools/families.py").read_text()
    families = set(re.findall(r'^    "(\w+)": ', text[text.index("FAMILIES = {"):text.index("\nSIZES")], re.M))
    assert families and families == {n.rpartition("_")[0] for n in NAMES}


def test_inspect_says_what_missed_the_fast_path_and_why(vitrail):
    path = FOLDER / "swin_timm_dynamo.onnx"
    unfused = vitrail.json("inspect", path)["unfused"]
    assert {u["part"] for u in unfused} == {"attention"} and all("Reshape stands between" in u["reason"] for u in unfused)
    text = vitrail("inspect", path).stdout
    assert "Missed the fast path:" in text and f"{len(unfused)} × attention stays in single layers" in text
    assert "Missed" not in vitrail("inspect", FOLDER / "vit_timm_dynamo.onnx").stdout


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
@pytest.mark.parametrize("family", ["vit_timm", "vit_hf", "vit_torchvision", "deit_distilled_hf", "dinov2_timm", "dinov2_hf", "dinov3_hf", "clip_hf", "siglip_timm"])
def test_blocks_of_common_families_are_recognised(vitrail, family, exporter):
    inspected = vitrail.json("inspect", FOLDER / f"{family}_{exporter}.onnx")
    assert inspected["structure"]["blocks"] == 2, inspected["unfused"]
