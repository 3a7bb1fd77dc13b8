#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Saves tiny Vision Transformers of transformers and timm with random weights, as their users would.

usage: export_safetensors.py FOLDER

Writes FOLDER/NAME/ (config.json, model.safetensors or shards, preprocessor_config.json for some) and FOLDER/NAME.npz with
the inputs x1 and x3 of batch 1 and 3 and every output of the model's forward(), y1.OUTPUT and y3.OUTPUT (float32). A folder
that this script filled with the same versions is left as it is. Needs torch, timm and transformers.
"""
import fcntl
import hashlib
import importlib.metadata
import json
import pathlib
import shutil
import sys

SIZE, PATCH, WIDTH, DEPTH, HEADS = 32, 8, 64, 2, 2
LABELS = {0: "owl", 1: "tench", 2: "héron"}
NO_OUTPUTS = {"hidden_states", "attentions", "text_embeds", "text_model_output", "vision_model_output"}


def stamp():
    versions = {name: importlib.metadata.version(name) for name in ("torch", "timm", "transformers")}
    return {"script": hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest(), **versions}


def randomise(model):
    """Away from zero biases and unit scales, which would hide mistakes."""
    import torch
    torch.manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    return model.eval()


def write_data(path, run, height=SIZE, width=SIZE):
    import numpy as np
    import torch
    torch.manual_seed(1)
    arrays = {}
    with torch.no_grad():
        for batch in (1, 3):
            x = torch.randn(batch, 3, height, width)
            arrays[f"x{batch}"] = x.numpy()
            for name, y in run(x).items():
                arrays[f"y{batch}.{name}"] = y.float().numpy()
    np.savez(path, **arrays)


def transformers_models():
    import transformers as T
    common = dict(hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, image_size=SIZE, patch_size=PATCH)
    vit = dict(common, intermediate_size=160)
    labels = dict(id2label=LABELS, label2id={v: k for k, v in LABELS.items()})
    text = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, vocab_size=100,
                bos_token_id=1, eos_token_id=2)
    clip = T.CLIPConfig(text_config=text, vision_config=vit, projection_dim=24)
    siglip = T.SiglipConfig(text_config=text, vision_config=vit)
    reg = dict(common, num_register_tokens=3)
    return {
        "vit": T.ViTModel(T.ViTConfig(**vit)),
        "vit_classifier": T.ViTForImageClassification(T.ViTConfig(**vit, **labels)),
        "vit_relu_nobias": T.ViTForImageClassification(T.ViTConfig(**vit, num_labels=5, hidden_act="relu",
                                                                   qkv_bias=False)),
        "deit": T.DeiTModel(T.DeiTConfig(**vit)),
        "deit_classifier": T.DeiTForImageClassification(T.DeiTConfig(**vit, num_labels=4)),
        "deit_teacher": T.DeiTForImageClassificationWithTeacher(T.DeiTConfig(**vit, **labels)),
        "dinov2": T.Dinov2Model(T.Dinov2Config(**common)),
        "dinov2_classifier": T.Dinov2ForImageClassification(T.Dinov2Config(**common, num_labels=4)),
        "dinov2_swiglu": T.Dinov2Model(T.Dinov2Config(**common, use_swiglu_ffn=True)),
        "dinov2_registers": T.Dinov2WithRegistersModel(T.Dinov2WithRegistersConfig(**reg)),
        "dinov2_registers_classifier": T.Dinov2WithRegistersForImageClassification(
            T.Dinov2WithRegistersConfig(**reg, num_labels=4)),
        "clip_vision": T.CLIPVisionModel(T.CLIPVisionConfig(**vit)),
        "clip_projection": T.CLIPVisionModelWithProjection(T.CLIPVisionConfig(**vit, projection_dim=24)),
        "clip_both_towers": T.CLIPModel(clip),
        "clip_classifier": T.CLIPForImageClassification(clip),
        "siglip_vision": T.SiglipVisionModel(T.SiglipVisionConfig(**vit)),
        "siglip_headless": T.SiglipVisionModel(T.SiglipVisionConfig(**vit, vision_use_head=False)),
        "siglip_both_towers": T.SiglipModel(siglip),
        "siglip_classifier": T.SiglipForImageClassification(siglip),
    }


def outputs_of(model):
    """The vision part of a model of both towers, else forward()."""
    def run(x):
        if hasattr(model, "text_model") and hasattr(model, "vision_model"):
            tower = model.vision_model(pixel_values=x)
            if hasattr(model, "visual_projection"):
                return {"image_embeds": model.visual_projection(tower.pooler_output),
                        "last_hidden_state": tower.last_hidden_state}
            return {"last_hidden_state": tower.last_hidden_state, "pooler_output": tower.pooler_output}
        return {k: v for k, v in model(pixel_values=x).items() if k not in NO_OUTPUTS and v is not None}
    return run


PROCESSORS = {
    "vit_classifier": {"image_processor_type": "ViTImageProcessor", "do_resize": True, "do_normalize": True,
                       "do_rescale": True, "rescale_factor": 0.00392156862745098, "resample": 2,
                       "size": {"height": SIZE, "width": SIZE}, "image_mean": [0.5, 0.4, 0.3],
                       "image_std": [0.5, 0.25, 0.2]},
    "dinov2_classifier": {"image_processor_type": "BitImageProcessorFast", "do_center_crop": True, "do_resize": True,
                          "crop_size": {"height": SIZE, "width": SIZE}, "size": {"shortest_edge": 37}, "resample": 3,
                          "do_normalize": True, "do_rescale": True, "rescale_factor": 0.00392156862745098,
                          "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
}


def save_transformers(folder):
    import torch
    for name, model in transformers_models().items():
        randomise(model)
        model.save_pretrained(folder / name)
        write_data(folder / f"{name}.npz", outputs_of(model))
        if name in PROCESSORS:
            (folder / name / "preprocessor_config.json").write_text(json.dumps(PROCESSORS[name]))
        if name == "vit_classifier":
            model.save_pretrained(folder / "vit_sharded", max_shard_size="60KB")
            write_data(folder / "vit_sharded.npz", outputs_of(model))
            for half, dtype in (("vit_bf16", torch.bfloat16), ("vit_f16", torch.float16)):
                model.to(dtype).save_pretrained(folder / half)
                write_data(folder / f"{half}.npz", outputs_of(model.float()))  # the rounded weights, calculated in float32


def save_timm(folder):
    import timm
    from timm.models import save_for_hf
    tiny = dict(img_size=SIZE, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS)
    models = {
        "timm_vit": ("vit_base_patch16_224", dict(tiny, num_classes=10)),
        "timm_distilled": ("deit_tiny_distilled_patch16_224", dict(tiny, num_classes=10)),
        "timm_deit3": ("deit3_small_patch16_224", dict(tiny, num_classes=10)),
        "timm_gap": ("vit_medium_patch16_gap_240", dict(tiny, num_classes=10)),
        "timm_dinov2": ("vit_small_patch14_dinov2", tiny),
        "timm_registers": ("vit_small_patch14_reg4_dinov2", tiny),
        "timm_swiglu": ("vit_giant_patch14_dinov2", dict(tiny, mlp_ratio=4)),
        "timm_clip": ("vit_base_patch16_clip_quickgelu_224", dict(tiny, num_classes=24)),
        "timm_siglip": ("vit_base_patch16_siglip_224", dict(tiny, num_classes=0)),
    }
    for name, (architecture, options) in models.items():
        model = randomise(timm.create_model(architecture, **options))
        save_for_hf(model, folder / name, model_args=options, safe_serialization=True)
        write_data(folder / f"{name}.npz", lambda x, m=model: {"output": m(x)})


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:  # tests of several programs may ask at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp_file = folder / "stamp.json"
        if stamp_file.exists() and json.loads(stamp_file.read_text()) == stamp():
            return
        for old in folder.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
        save_transformers(folder)
        save_timm(folder)
        stamp_file.write_text(json.dumps(stamp()))


if __name__ == "__main__":
    main()
