# SPDX-License-Identifier: Apache-2.0
"""`vitrail refit`: an engine that gets new weights is, byte for byte, the engine that a build of them makes."""
import numpy
import onnx
import pytest
from onnx import numpy_helper


def with_other_weights(source, path, seed=1, rename=None):
    """The model with noise on its float weights; `rename` gives its outputs another name."""
    model = onnx.load(source)
    random = numpy.random.default_rng(seed)
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype == numpy.float32 and value.ndim > 0 and value.size > 1:
            noise = random.standard_normal(value.shape).astype(numpy.float32) * (0.1 * value.std() + 1e-3)
            tensor.CopyFrom(numpy_helper.from_array(value + noise, tensor.name))
    if rename:
        old = model.graph.output[0].name
        model.graph.output[0].name = rename
        for node in model.graph.node:
            node.output[:] = [rename if name == old else name for name in node.output]
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def other(tiny, tmp_path_factory):
    return with_other_weights(tiny, tmp_path_factory.mktemp("refit") / "other.onnx")


@pytest.mark.parametrize("options", [["--profile", "1:2:8"], ["--input", "uint8", "--workspace", "64MiB"]])
def test_a_refit_is_the_build_of_the_new_weights(vitrail, tiny, other, tmp_path, options):
    old, new, built = (tmp_path / name for name in ("old.vtl", "new.vtl", "built.vtl"))
    vitrail("build", tiny, "-o", old, *options)
    made = vitrail.json("refit", old, "--weights", other, "-o", new)
    assert made["hash"] == vitrail.json("build", other, "-o", built, *options)["hash"]
    assert new.read_bytes() == built.read_bytes() != old.read_bytes()
    assert made["model"] == "other.onnx" and made["certified"] is False


def test_the_certificate_stays_behind(vitrail, tiny, other, tmp_path):
    engine = tmp_path / "e.vtl"
    vitrail("build", tiny, "-o", engine)
    vitrail("verify", engine, "--reference", tiny, "--random", "2", "--certify")
    explained = vitrail.json("explain", engine)
    assert explained["certified"] is True and explained["refittable"] is True
    done = vitrail("refit", engine, "--weights", other, "-o", engine)  # in place
    assert "It is not certified: run `vitrail verify" in done.stdout
    assert vitrail.json("explain", engine)["certified"] is False
    vitrail("verify", engine, "--reference", other, "--random", "2", "--certify")
    vitrail("verify", engine, "--reference", tiny, "--random", "2", expect=1)


def test_the_engine_keeps_its_names(vitrail, tiny, tmp_path):
    renamed = with_other_weights(tiny, tmp_path / "renamed.onnx", rename="scores")
    old, new = tmp_path / "old.vtl", tmp_path / "new.vtl"
    vitrail("build", tiny, "-o", old)
    vitrail("refit", old, "--weights", renamed, "-o", new)
    before = vitrail.json("verify", old, "--reference", tiny, "--random", "1")
    after = vitrail.json("verify", new, "--reference", renamed, "--random", "1")
    assert [o["name"] for o in after["outputs"]] == [o["name"] for o in before["outputs"]] != ["scores"]


def test_labels_and_preprocessing_of_the_engine_stay_where_the_model_has_none(vitrail, tiny, other, pictures, tmp_path):
    labels, preprocess = tmp_path / "labels.txt", tmp_path / "p.json"
    labels.write_text("".join(f"class {i}\n" for i in range(10)))
    preprocess.write_text('{"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5]}')
    old, new, built = (tmp_path / name for name in ("old.vtl", "new.vtl", "built.vtl"))
    vitrail("build", tiny, "-o", old, "--labels", labels, "--preprocess", preprocess)
    assert vitrail.json("refit", old, "--weights", other, "-o", new)["warnings"] == []
    vitrail("build", other, "-o", built, "--labels", labels, "--preprocess", preprocess)
    assert new.read_bytes() == built.read_bytes()


def test_safetensors_into_safetensors(vitrail, tmp_path):
    import os
    import pathlib
    import shutil

    from safetensors.numpy import load_file, save_file

    source = pathlib.Path(os.environ.get("VTL_SAFETENSORS", pathlib.Path.home() / ".cache/vitrail/safetensors")) / "deit"
    if not source.exists():
        pytest.skip(f"{source} is not there: run tests/tools/export_safetensors.py")
    changed = tmp_path / "changed"
    shutil.copytree(source, changed)
    weights = load_file(changed / "model.safetensors")
    save_file({name: value * numpy.float32(1.01) for name, value in weights.items()}, changed / "model.safetensors")
    old, new, built = (tmp_path / name for name in ("old.vtl", "new.vtl", "built.vtl"))
    vitrail("build", source, "-o", old)
    vitrail("refit", old, "--weights", changed, "-o", new)
    vitrail("build", changed, "-o", built)
    assert new.read_bytes() == built.read_bytes()


@pytest.mark.filterwarnings("ignore")  # of PyTorch's exporter
def test_safetensors_into_an_engine_of_an_export(vitrail, tmp_path):
    """A model fine-tuned in PyTorch and saved there goes into the engine that was built from its ONNX export."""
    import json

    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=32, num_classes=10, depth=2).eval()
    onnx_file, tuned = tmp_path / "export.onnx", tmp_path / "tuned"
    torch.onnx.export(model, (torch.zeros(2, 3, 32, 32),), str(onnx_file), dynamo=False, opset_version=17, input_names=["picture"],
                      output_names=["scores"], dynamic_axes={"picture": {0: "batch"}, "scores": {0: "batch"}})
    tuned.mkdir()
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(1.01)
    save_file(model.state_dict(), tuned / "model.safetensors")
    (tuned / "config.json").write_text(json.dumps({
        "architecture": "vit_tiny_patch16_224", "num_classes": 10, "model_args": {"img_size": 32, "depth": 2},
        "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "crop_pct": 0.9}}))
    old, new = tmp_path / "old.vtl", tmp_path / "new.vtl"
    vitrail("build", onnx_file, "-o", old)
    vitrail("refit", old, "--weights", tuned, "-o", new)
    picture = numpy.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(numpy.float32)
    numpy.save(tmp_path / "in.npy", picture)
    vitrail("run", new, "--input", f"picture={tmp_path}/in.npy", "--output", f"scores={tmp_path}/scores.npy")
    with torch.no_grad():
        want = model(torch.from_numpy(picture)).numpy()
    numpy.testing.assert_allclose(numpy.load(tmp_path / "scores.npy"), want, atol=2e-4 * abs(want).max())


@pytest.mark.parametrize("model", ["cls", "gap", "layer_scale"])
def test_from_one_exporter_to_the_other(vitrail, exports, tmp_path, model):
    old, new, weights = tmp_path / "old.vtl", tmp_path / "new.vtl", exports / f"{model}_dyn20.onnx"
    vitrail("build", exports / f"{model}_ts17.onnx", "-o", old)
    vitrail("refit", old, "--weights", weights, "-o", new)
    vitrail("verify", new, "--reference", weights, "--random", "2")


def refused(vitrail, engine, model, out, expect=3):
    text = vitrail("refit", engine, "--weights", model, "-o", out, expect=expect).stderr
    assert not out.exists()
    return text


def test_another_architecture(vitrail, exports, engine, tmp_path):
    text = refused(vitrail, engine, exports / "gap_ts17.onnx", tmp_path / "x.vtl")
    assert "a refit exchanges the weights of one architecture" in text and "vitrail build" in text
    assert "in the engine and" in text


def test_another_shape_of_a_weight(vitrail, tiny, engine, tmp_path):
    model = onnx.load(tiny)
    for tensor in model.graph.initializer:
        if tensor.name.startswith("head."):
            value = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(numpy.concatenate([value, value[:2]]), tensor.name))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 12
    path = tmp_path / "twelve.onnx"
    onnx.save(model, path)
    text = refused(vitrail, engine, path, tmp_path / "x.vtl")
    assert "layer '/head/Gemm'" in text and "[64,10] in the engine and float32 [64,12]" in text


def test_quantized_engines(vitrail, tiny, other, pictures, tmp_path):
    quantized, again = tmp_path / "q.onnx", tmp_path / "other.q.onnx"
    for model, path in ((tiny, quantized), (other, again)):
        vitrail("quantize", model, "--images", pictures, "-o", path, "--max-drop", "1", "--min-cosine", "0")
    old, new, built = (tmp_path / name for name in ("old.vtl", "new.vtl", "built.vtl"))
    vitrail("build", quantized, "--precision", "int8", "-o", old)
    text = refused(vitrail, old, other, new)
    assert "ranges that belong to its weights" in text and "vitrail quantize" in text
    # Quantized anew, the ranges come with the weights.
    vitrail("refit", old, "--weights", again, "-o", new)
    vitrail("build", again, "--precision", "int8", "-o", built)
    assert new.read_bytes() == built.read_bytes()


def test_files_that_are_not_there_or_no_engines(vitrail, tiny, engine, tmp_path):
    out = tmp_path / "x.vtl"
    assert "nowhere.vtl" in refused(vitrail, tmp_path / "nowhere.vtl", tiny, out)
    assert "nowhere.onnx" in refused(vitrail, engine, tmp_path / "nowhere.onnx", out)
    refused(vitrail, tiny, tiny, out)
