# SPDX-License-Identifier: Apache-2.0
"""Every export of PyTorch comes out as PyTorch computed it, and its fusion is verified stage by stage."""
import subprocess

import numpy
import pytest
from conftest import BINARY, EXPORTS, SHARED

NAMES = sorted(p.stem for p in EXPORTS.glob("*.onnx"))


@pytest.mark.parametrize("name", NAMES)
def test_export_runs_as_in_pytorch(vitrail, exports, tmp_path, name):
    engine = tmp_path / "e.vtl"
    vitrail("build", exports / f"{name}.onnx", "-o", engine, "--profile", "1:3:4")
    data = numpy.load(exports / f"{name}.npz")
    for batch in (1, 3):
        x, y = tmp_path / "x.npy", tmp_path / "y.npy"
        numpy.save(x, data[f"x{batch}"])
        vitrail("run", engine, "--input", f"input={x}", "--output", f"output={y}")
        want, got = data[f"y{batch}"], numpy.load(y)
        assert got.shape == want.shape
        assert numpy.abs(got - want).max() <= 2e-5 * max(1, numpy.abs(want).max())
    report = vitrail.json("verify", engine, "--reference", exports / f"{name}.onnx", "--random", 2)
    assert report["passed"]


# Every exporter and attention variant of these comes out as the same fused graph.
PLAIN = [n for n in NAMES if n.split("_")[0] in ("cls", "tanh", "registers") or n.startswith(("layer_scale", "dynamic_size"))]


@pytest.mark.parametrize("name", PLAIN)
def test_plain_vit_is_recognised_whole(vitrail, exports, name):
    report = vitrail.json("inspect", exports / f"{name}.onnx")
    found = report["structure"]
    assert (found["blocks"], found["heads"], found["head_dim"], found["width"], found["mlp_width"]) == (2, 2, 32, 64, 256)
    prefix = 5 if name.startswith("registers") else 1
    assert (found["tokens"], found["prefix_tokens"], found["pooling"], found["head"]) == (16 + prefix, prefix, "class token", "linear [10]")
    # Patch embedding; norm, qkv, attention, projection, norm, two MLP layers a block; the class token out of the last attention
    # and of the stream beside it; norm, reshape, head.
    assert len(report["layers"]) == 1 + 2 * 7 + 2 + 3
    assert not any(layer["kernel"] == "reference" for layer in report["layers"])


@pytest.mark.parametrize("name", PLAIN)
def test_last_block_is_verified_on_the_rows_that_are_left(vitrail, exports, tmp_path, name):
    engine = tmp_path / "e.vtl"
    vitrail("build", exports / f"{name}.onnx", "-o", engine, "--profile", "1:1:2")
    stages = vitrail.json("verify", engine, "--reference", exports / f"{name}.onnx", "--random", 2)["stages"]
    assert [s["name"] for s in stages] == ["patch_embed", "block.0", "block.1", "head"]
    tokens = 16 + (5 if name.startswith("registers") else 1)
    assert [s["count"] for s in stages] == [2 * tokens * 64, 2 * tokens * 64, 2 * 64, 2 * 10]


def test_reference_backend_builds_and_runs(vitrail, tiny, tmp_path):
    engine = tmp_path / "r.vtl"
    vitrail("build", tiny, "-o", engine, "--backend", "reference", "--profile", "1:1:2")
    assert vitrail.json("verify", engine, "--reference", tiny, "--random", 1)["passed"]


def test_forced_instruction_sets_agree(vitrail, engine, tiny, tmp_path):
    x = tmp_path / "x.npy"
    numpy.save(x, numpy.random.default_rng(0).standard_normal((2, 3, 32, 32), dtype=numpy.float32))
    outputs = {}
    for isa in ("scalar", "avx2", "avx512"):
        y = tmp_path / f"{isa}.npy"
        result = subprocess.run([BINARY, "run", engine, "--input", f"input={x}", "--output", f"output={y}", "--isa", isa],
                                capture_output=True, text=True)
        if result.returncode == 4:
            print(f"{isa} left out: {result.stderr.strip()}")
            continue
        assert result.returncode == 0, result.stderr
        outputs[isa] = numpy.load(y)
    assert "scalar" in outputs
    for isa, y in outputs.items():
        numpy.testing.assert_allclose(y, outputs["scalar"], rtol=1e-4, atol=1e-5, err_msg=isa)


def test_top1_on_labelled_images_equals_onnxruntime(vitrail, shared_model, tmp_path):
    import onnxruntime

    engine, y = tmp_path / "e.vtl", tmp_path / "logits.npy"
    vitrail("build", shared_model, "-o", engine, "--preprocess", SHARED / "models/dinov2s_cifar10.preprocess.json",
            "--labels", SHARED / "models/dinov2s_cifar10.labels.txt")
    folder = SHARED / "cifar10/train"
    results = vitrail.json("run", engine, "--image", folder, "--output", f"logits={y}", "--top", 1)["results"]
    ours = numpy.load(y)
    assert len(results) == 200 == len(ours)
    names = [r["image"].split("/")[-2] for r in results]
    assert numpy.mean([r["top"][0]["label"] == n for r, n in zip(results, names)]) > 0.95

    # The same pixels, prepared by Pillow, through ONNX Runtime: the same answer on every image.
    from PIL import Image

    session = onnxruntime.InferenceSession(str(shared_model), providers=["CPUExecutionProvider"])
    mean, std = numpy.array([0.485, 0.456, 0.406], numpy.float32), numpy.array([0.229, 0.224, 0.225], numpy.float32)
    theirs = []
    for r in results:
        picture = Image.open(r["image"]).convert("RGB").resize((224, 224), Image.BICUBIC)
        pixels = ((numpy.asarray(picture, numpy.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]
        theirs.append(session.run(None, {"input": pixels})[0][0])
    theirs = numpy.stack(theirs)
    assert (ours.argmax(1) == theirs.argmax(1)).all()
    assert numpy.abs(ours - theirs).max() < 1e-3
