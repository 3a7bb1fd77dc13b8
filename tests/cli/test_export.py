# SPDX-License-Identifier: Apache-2.0
"""vitrail.export and the verb: what is written is proven, and every failure says what in the model causes it."""
import itertools
import json
import os
import re
import shutil
import subprocess
import sys

import numpy
import onnx
import pytest
from conftest import BINARY, ROOT

sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests/tools")]
torch = pytest.importorskip("torch")
import awkward  # noqa: E402
import vitrail as package  # noqa: E402

X = torch.zeros(1, 3, awkward.SIZE, awkward.SIZE)


def export(module, path, *, example=X, **options):
    lines = []
    report = package.export(module, example, path, **{"binary": BINARY, "seeds": (0,), "say": lines.append, **options})
    return report, "\n".join(lines)


def refused(module, path, **options):
    """The message of the failure, which leaves no file."""
    with pytest.raises(package.ExportError) as failure:
        export(module.eval() if isinstance(module, torch.nn.Module) else module, path, **options)
    assert not list(path.parent.iterdir()), "something was left behind"
    return str(failure.value)


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_every_output_is_proven_and_preprocessing_and_labels_travel(vitrail, pictures, tmp_path, exporter):
    made = awkward.factory()
    path = tmp_path / "model.onnx"
    report, said = export(made["module"], path, example=made["example"], exporter=exporter, preprocess=made["preprocess"], labels=made["labels"],
                          images=pictures, seeds=(0, 1))
    assert report.outputs == ["logits", "states.0", "states.1.0", "best"]
    assert {(e.output, e.engine) for e in report.errors} == {(o, e) for o in report.outputs for e in ("ONNX Runtime", "Vitrail")}
    assert {b for b in (1, 3, 4) for s in (0, 1) if any(e.inputs == f"batch {b}, seed {s}" for e in report.errors)} == {1, 3, 4}
    assert report.traced_batch == 2 and report.pictures == 3 and any("picture" in e.inputs for e in report.errors)
    assert report.worst < 1e-5 and "logits" in said
    model = onnx.load(path)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    metadata = {p.key: json.loads(p.value) for p in model.metadata_props if p.key.startswith("vitrail")}
    assert metadata["vitrail.preprocess"] == made["preprocess"] and metadata["vitrail.labels"] == made["labels"]
    assert metadata["vitrail.export"]["exporter"] == exporter
    # JPEG in, name out, with nothing else than the engine.
    vitrail("build", path, "-o", tmp_path / "m.vtl")
    best = vitrail.json("run", tmp_path / "m.vtl", "--image", pictures / "class0/picture.png", "--top", 1)["results"][0]["top"][0]
    assert best["label"] == made["labels"][best["index"]]


def test_several_inputs(tmp_path):
    report, _ = export(awkward.TwoInputs().eval(), tmp_path / "m.onnx", example=(X, torch.ones(1, 5)))
    assert report.inputs == ["pixels", "weights"] and report.worst < 1e-5


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_fused_attention_in_all_its_forms(tmp_path, exporter):
    report, said = export(awkward.SdpaVariants().eval(), tmp_path / "m.onnx", exporter=exporter)
    assert report.worst < 1e-5
    assert ("products and a softmax" in said) == (exporter == "torchscript")  # which lacks grouped heads


def test_torchscript_is_tried_when_dynamo_fails_and_it_is_said(tmp_path, monkeypatch):
    from vitrail import exporters

    def broken(*arguments):
        raise RuntimeError("no such luck")

    monkeypatch.setitem(exporters.EXPORTERS, "dynamo", broken)
    report, said = export(awkward.Net().eval(), tmp_path / "m.onnx")
    assert report.exporter == "torchscript" and report.opset == 17
    assert "the dynamo exporter failed (RuntimeError); trying torchscript" in said


def test_resized_positions_go_through_dynamo_and_are_named_elsewhere(tmp_path):
    message = refused(awkward.AntialiasedPositions(), tmp_path / "m.onnx", exporter="torchscript")
    assert "aten::_upsample_bicubic2d_aa" in message and "position embedding" in message and "awkward.py" in message and "--img-size" in message
    report, _ = export(awkward.AntialiasedPositions().eval(), tmp_path / "m.onnx")
    assert report.exporter == "dynamo" and report.worst < 1e-5


class Case:
    def __init__(self, module, *words, **options):
        self.module, self.words, self.options = module, words, options


REFUSED = {
    "training mode": Case(lambda: awkward.Net().train(), "training mode", "module.eval()"),
    "dropout without a mode": Case(awkward.AlwaysDropout, "random numbers", "bernoulli", r"awkward\.py:\d+", "training=self.training"),
    "dropout of one's own": Case(awkward.OwnDropout, "random numbers", "rand_like", "OwnDropout"),
    "dropout in attention": Case(awkward.DroppingAttention, "random numbers", "dropout_p=self.p if self.training"),
    "batch statistics": Case(awkward.BatchStatistics, "statistics of the batch", "neighbours"),
    "a fixed batch": Case(awkward.FixedBatch, "batch 2 but not at batch 1", r"awkward\.py:\d+", r"x\.shape\[0\]"),
    "a branch on the batch": Case(awkward.BranchOnBatch, "dynamo: it fixed the batch of input 'input' at 2", r"awkward\.py:\d+: Converting",
                                  exporter="dynamo"),
    "a traced branch": Case(awkward.BranchOnBatch, "differs from PyTorch", "constants while tracing", r"awkward\.py:\d+", exporter="torchscript"),
    "a traced number": Case(awkward.PythonBatch, r"layer '/Add' \(Add\)", "a batch size fixed at export", exporter="torchscript"),
    "a custom attention class": Case(awkward.CustomAttention, "vitrail_tests::attention is no operator of PyTorch", r"'attention' \(Attention\)",
                                     "attn_implementation"),
    "an operator that ONNX lacks": Case(awkward.Unsupported, "bessel_j0", "dynamo", "torchscript", r"\(Unsupported\), .*awkward\.py:\d+"),
    "half precision": Case(lambda: awkward.Net().half(), "in float16", r"patches\.weight", r"module\.float\(\)", "--precision fp16"),
    "bfloat16": Case(lambda: awkward.Net().bfloat16(), "in bfloat16", "--precision bf16"),
    "its own exception": Case(awkward.Broken, "fails on the example", r"awkward\.py:\d+"),
    "no finite number": Case(awkward.NotANumber, "no finite number"),
    "nothing to compare at": Case(awkward.Net, "at least one other than the traced 2", batches=(2,)),
    "an input that is no tensor": Case(awkward.Net, "must be a tensor", example="cat.jpg"),
    "a tolerance that nothing meets": Case(awkward.Net, "differs from PyTorch", "--tolerance", tolerance=1e-30),
    "an opset that nothing writes": Case(awkward.Net, "opset 9", "dynamo 18 to", opset=9),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    case = REFUSED[name]
    module = case.module()
    if "training mode" not in name:
        module.eval()
    with pytest.raises(package.ExportError) as failure:
        export(module, tmp_path / "m.onnx", **case.options)
    assert not list(tmp_path.iterdir()), "something was left behind"
    for word in case.words:
        assert re.search(word, str(failure.value), re.S), f"'{word}' is not in:\n{failure.value}"


def test_half_precision_is_widened_on_request(tmp_path):
    report, _ = export(awkward.Net().half().eval(), tmp_path / "m.onnx", dtype=torch.float32)
    assert report.worst < 1e-5


def test_a_wrong_graph_is_caught_by_each_engine(tmp_path, monkeypatch):
    """What if an exporter were wrong: a weight of the file is changed behind its back."""
    from vitrail import exporters

    honest = exporters.EXPORTERS["torchscript"]

    def lying(module, inputs, in_names, out_names, path, opset):
        honest(module, inputs, in_names, out_names, path, opset)
        model = onnx.load(path)
        weight = next(w for w in model.graph.initializer if w.name.endswith("head.bias"))
        weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) + 0.01, weight.name))
        onnx.save(model, path)

    monkeypatch.setitem(exporters.EXPORTERS, "torchscript", lying)
    message = refused(awkward.Net(), tmp_path / "m.onnx", exporter="torchscript")
    assert "differs from PyTorch by 0.01" in message


# Sources, in this process: importing torch again takes seconds.
@pytest.fixture
def sources():
    from vitrail import sources

    return sources


def test_missing_and_unknown_checkpoint_keys_are_listed(sources, tmp_path):
    timm = pytest.importorskip("timm")
    weights = timm.create_model("vit_tiny_patch16_224", num_classes=1000).state_dict()
    del weights["blocks.3.norm1.weight"], weights["norm.bias"]
    weights["ema.decay"] = torch.zeros(())
    weights["head.weight"] = torch.zeros(10, 192)
    torch.save({"state_dict": weights}, tmp_path / "w.pth")
    with pytest.raises(package.ExportError) as failure:
        sources.load("timm:vit_tiny_patch16_224", str(tmp_path / "w.pth"))
    for word in ("missing:\n    blocks.3.norm1.weight\n    norm.bias", "not in the module:\n    ema.decay", "head.weight [10, 192], the module's [1000, 192]"):
        assert word in str(failure.value)


def test_timm_brings_its_preprocessing_and_labels(sources):
    source = sources.load("timm:vit_base_patch16_clip_224.openai", random_weights=True, img_size=64)
    assert source.preprocess == {"height": 64, "width": 64, "resize_mode": "shortest", "crop_pct": 0.9, "interpolation": "bicubic",
                                 "mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711], "color": "RGB"}
    assert source.labels is None and source.example.shape[2:] == (64, 64)
    source = sources.load("timm:vit_tiny_patch16_224", random_weights=True)
    assert len(source.labels) == 1000 and "tench" in source.labels[0]


def test_torchvision_brings_its_preprocessing_and_labels(sources):
    source = sources.load("torchvision:swin_t", random_weights=True)
    assert source.preprocess["resize_mode"] == "shortest" and int(224 / source.preprocess["crop_pct"]) == 232
    assert source.preprocess["interpolation"] == "bicubic" and len(source.labels) == 1000 and source.labels[0] == "tench"


@pytest.mark.parametrize("config, wanted", [
    ({"do_resize": True, "size": {"height": 48, "width": 48}, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
     {"resize_mode": "squash", "crop_pct": 1.0, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3, "height": 48}),
    ({"size": {"shortest_edge": 235}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "resample": 3, "image_mean": [0, 0, 0],
      "image_std": [1, 1, 1], "rescale_factor": 1 / 127.5}, {"resize_mode": "shortest", "interpolation": "bicubic", "std": [0.5] * 3, "height": 224}),
    ({"size": 32, "do_normalize": False, "do_rescale": False}, {"mean": [0.0] * 3, "std": [round(1 / 255, 8)] * 3, "width": 32}),
    ({"size": {"longest_edge": 1024}, "do_pad": True}, "do_pad"),
    ({"size": {"shortest_edge": 224}}, "without a crop"),
])
def test_preprocessor_config_of_hugging_face(config, wanted):
    from vitrail.preprocessing import from_huggingface

    if isinstance(wanted, str):
        with pytest.raises(package.ExportError, match=wanted):
            from_huggingface(config)
        return
    made = from_huggingface(config)
    assert wanted.items() <= made.items()
    if "shortest_edge" in str(config):
        assert int(224 / made["crop_pct"]) == 235


def test_hugging_face_folder(sources, tmp_path):
    transformers = pytest.importorskip("transformers")
    import families

    config = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8)
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**config, num_labels=3, id2label={0: "ant", 1: "bee", 2: "cow"}))
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 32, "width": 32}, "image_mean": [0.1, 0.2, 0.3]}))
    source = sources.load(f"hf:{tmp_path}")
    assert source.labels == ["ant", "bee", "cow"] and source.preprocess["mean"] == [0.1, 0.2, 0.3] and source.example.shape == (2, 3, 32, 32)
    want = model.eval()(torch.ones(1, 3, 32, 32)).logits
    assert torch.equal(source.module.eval()(torch.ones(1, 3, 32, 32)).logits, want)
    # A checkpoint without its head is no classifier.
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(package.ExportError, match="missing:\n    classifier.weight"):
        sources.load(f"hf:{tmp_path}")
    # Of CLIP the vision tower is taken.
    clip = families.hf("CLIPVisionModelWithProjection", "CLIPVisionConfig", projection_dim=16)().config
    whole = transformers.CLIPModel(transformers.CLIPConfig(vision_config=clip.to_dict(), text_config=dict(hidden_size=16, num_hidden_layers=1,
                                   num_attention_heads=2, intermediate_size=16, vocab_size=64), projection_dim=16))
    whole.save_pretrained(tmp_path / "clip")
    source = sources.load(f"hf:{tmp_path / 'clip'}")
    assert type(source.module).__name__ == "CLIPVisionModelWithProjection" and any("vision tower" in n for n in source.notes)
    assert any("preprocessor_config.json" in n for n in source.notes)


def test_mae_keeps_all_patches_in_their_order():
    pytest.importorskip("transformers")
    import families
    from vitrail.huggingface import MaeEncoder

    mae = families.hf("ViTMAEModel", "ViTMAEConfig", mask_ratio=0.0)().eval()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        want = mae(x, noise=torch.arange(16.0).expand(2, -1)).last_hidden_state
        assert torch.equal(MaeEncoder(mae)(x)["last_hidden_state"], want)


def test_bad_sources(sources, tmp_path):
    for text, words in (("vit", "timm:NAME"), ("timm:vit_bass", "no model"), ("torchvision:vit_q", "vit_b_16"), (f"{tmp_path}/none.py:f", "no such file"),
                        (f"{ROOT}/tests/tools/awkward.py:raising", r"awkward\.py:\d+: NameError"), (f"hf:{tmp_path}/none", "--checkpoint")):
        with pytest.raises(package.ExportError, match=words):
            sources.load(text)


# The verb.
def test_the_verb_exports_proves_and_builds(vitrail, pictures, tmp_path):
    source = f"{ROOT / 'tests/tools/awkward.py'}:factory"
    environment = {**os.environ, "VTL_PYTHON": sys.executable}
    report = vitrail.json("export", source, "-o", tmp_path / "m.onnx", "--images", pictures, "--batches", "1,5", "--seeds", 1, env=environment)
    assert report["exporter"] == "dynamo" and report["batches"] == [1, 5] and report["images"] == 3 and report["labels"] == 5
    assert {e["engine"] for e in report["errors"]} == {"ONNX Runtime", "Vitrail"} and report["max_scaled_error"] < 1e-5
    assert vitrail.json("build", tmp_path / "m.onnx", "-o", tmp_path / "m.vtl")["hash"]


def test_the_verb_hands_on_the_exit_status(vitrail, tmp_path):
    environment = {**os.environ, "VTL_PYTHON": sys.executable}
    error = vitrail("export", "timm:vit_bass", "-o", tmp_path / "m.onnx", expect=2, env=environment).stderr
    assert "timm has no model 'vit_bass'" in error


def test_without_python_or_torch_the_verb_says_what_to_install(vitrail, tmp_path):
    words = ("export", "timm:vit_tiny_patch16_224", "-o", tmp_path / "m.onnx")
    error = vitrail(*words, expect=4, env={**os.environ, "VTL_PYTHON": "/nowhere/python"}).stderr
    assert "/nowhere/python" in error and "VTL_PYTHON" in error
    bare = tmp_path / "bare" / "bin" / "python"
    bare.parent.mkdir(parents=True)
    bare.write_text(f"#!/bin/sh\nexec {sys.executable} -S -E -c \"import sys; sys.path.insert(0, '{ROOT / 'python'}'); "
                    "sys.argv = ['vitrail', *sys.argv[3:]]; import runpy; runpy.run_module('vitrail', run_name='__main__', alter_sys=True)\" \"$@\"\n")
    bare.chmod(0o755)
    for environment in ({"VTL_PYTHON": str(bare)}, {"VTL_PYTHON": "", "VIRTUAL_ENV": str(tmp_path / "bare")}):
        error = vitrail(*words, expect=4, env={**os.environ, **environment}).stderr
        assert "torch" in error and "-m pip install" in error


def test_a_program_away_from_its_package_says_where_to_find_it(tmp_path):
    alone = tmp_path / "bin" / "vitrail"
    alone.parent.mkdir()
    shutil.copy(BINARY, alone)
    words = [alone, "export", "timm:vit_bass", "-o", tmp_path / "m.onnx"]
    environment = {**os.environ, "VTL_PYTHON": sys.executable, "PYTHONPATH": ""}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 4 and "share/vitrail/python" in done.stderr and "pip install" in done.stderr
    done = subprocess.run(words, capture_output=True, text=True, env={**environment, "PYTHONPATH": str(ROOT / "python")})
    assert done.returncode == 2 and "timm has no model 'vit_bass'" in done.stderr


def test_verb_and_package_have_the_same_options(vitrail):
    done = subprocess.run([sys.executable, "-m", "vitrail", "export", "--help"], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "python")})
    assert done.returncode == 0, done.stderr
    ours = set(re.findall(r"--[a-z-]+", vitrail("export", "--help").stdout))
    assert ours == set(re.findall(r"--[a-z-]+", done.stdout))


def test_pictures_are_prepared_as_vitrail_does(vitrail, pictures, tmp_path):
    """preprocessing.prepare() against the engine's own preparation, to the bit, for every mode."""
    from onnx import TensorProto, helper
    from vitrail.preprocessing import prepare

    for mode, arithmetic in itertools.product(("shortest", "squash", "longest"), ("pillow", "torchvision", "torchvision-float")):
        contract = {"height": 24, "width": 20, "resize_mode": mode, "crop_pct": 0.9, "interpolation": "bilinear", "mean": [0.5, 0.4, 0.3],
                    "std": [0.2, 0.3, 0.4], "color": "BGR", "arithmetic": arithmetic}
        value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3, 24, 20]) for n in ("x", "y")]
        model = helper.make_model(helper.make_graph([helper.make_node("Abs", ["x"], ["a"]), helper.make_node("Sign", ["x"], ["s"]),
                                                     helper.make_node("Mul", ["a", "s"], ["y"])], "g", value[:1], value[1:]),
                                  opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        model.metadata_props.add(key="vitrail.preprocess", value=json.dumps(contract))
        onnx.save(model, tmp_path / "m.onnx")
        vitrail("build", tmp_path / "m.onnx", "-o", tmp_path / "m.vtl", "--backend", "reference")
        for picture in sorted(pictures.rglob("*.*")):
            vitrail("run", tmp_path / "m.vtl", "--image", picture, "--output", f"y={tmp_path / 'y.npy'}")
            numpy.testing.assert_array_equal(numpy.load(tmp_path / "y.npy")[0], prepare(picture, contract), err_msg=f"{mode} {arithmetic} {picture.name}")
