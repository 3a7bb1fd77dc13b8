# SPDX-License-Identifier: Apache-2.0
"""The families of Vision Transformers that Vitrail takes: the real classes of timm, transformers and torchvision, tiny,
with random weights. NAME: a function that gives the module; all take [N,3,SIZE,SIZE] unless SIZES says otherwise."""
import functools

import timm
import torch
import torchvision
import transformers
from timm.layers import set_fused_attn
from torch import nn

SIZE, CLASSES = 32, 10
DEPTH, HEADS, DIM = 2, 2, 32


def of_timm(name, **options):
    """A published architecture of timm, narrowed."""
    sizes = dict(img_size=SIZE, num_classes=CLASSES, embed_dim=DIM, depth=DEPTH, num_heads=HEADS)
    return timm.create_model(name, pretrained=False, **{k: v for k, v in {**sizes, **options}.items() if v is not None})


def vit(name, **options):
    return functools.partial(of_timm, name, patch_size=8, **options)


def hf(cls, config, attention="sdpa", **options):
    """A class of transformers with a configuration narrowed to these sizes."""
    def make():
        sizes = dict(hidden_size=DIM, num_hidden_layers=DEPTH, num_attention_heads=HEADS, intermediate_size=2 * DIM, image_size=SIZE,
                     patch_size=8, num_labels=CLASSES)
        c = getattr(transformers, config)(**{k: v for k, v in {**sizes, **options}.items() if v is not None})
        c._attn_implementation = attention
        return getattr(transformers, cls)(c)
    return make


def mae():
    from vitrail.huggingface import MaeEncoder

    return MaeEncoder(hf("ViTMAEModel", "ViTMAEConfig", mask_ratio=0.0)())


class DenseHead(nn.Module):
    """A DINO-style backbone with a head of convolutions, upsampling and each kind of normalisation; several maps out."""

    def __init__(self):
        super().__init__()
        self.backbone = vit("vit_small_patch14_reg4_dinov2", num_classes=0)()
        self.norms = nn.ModuleList([nn.GroupNorm(4, DIM), nn.InstanceNorm2d(DIM, affine=True), nn.BatchNorm2d(DIM)])
        self.up = nn.ConvTranspose2d(DIM, 16, 2, 2)
        self.out = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=4), nn.SiLU(), nn.Upsample(scale_factor=2, mode="bilinear"),
                                 nn.Conv2d(16, 3, 1))

    def forward(self, x):
        maps = self.backbone.forward_intermediates(x, indices=[0, 1], intermediates_only=True, norm=True)
        y = sum(norm(m) for norm, m in zip(self.norms, [*maps, maps[0] * maps[1]]))
        y = self.up(nn.functional.gelu(y))
        coarse = nn.functional.interpolate(maps[-1], scale_factor=4, mode="bicubic", align_corners=False)
        near = nn.functional.interpolate(y, size=(SIZE, SIZE), mode="nearest")
        return {"mask": self.out(y), "coarse": coarse, "near": near, "features": maps[0]}


def torchvision_vit():
    return torchvision.models.VisionTransformer(SIZE, 8, DEPTH, HEADS, DIM, 2 * DIM, num_classes=CLASSES)


def torchvision_swin(cls="SwinTransformerBlock"):
    from torchvision.models import swin_transformer as s

    block = getattr(s, cls)
    merging = s.PatchMergingV2 if cls.endswith("V2") else s.PatchMerging
    return s.SwinTransformer([2, 2], 16, [2, 1], [2, 4], [4, 4], num_classes=CLASSES, block=block, downsample_layer=merging)


def torchvision_maxvit():
    return torchvision.models.MaxVit((SIZE, SIZE), 16, 4, [16, 32], [1, 1], 8, 0.0, num_classes=CLASSES)


SWIN = dict(embed_dim=16, depths=(2, 1), num_heads=(2, 4), window_size=4, patch_size=2, depth=None)
HF_SWIN = dict(embed_dim=16, depths=[2, 1], num_heads=[2, 4], window_size=4, patch_size=2, hidden_size=None, num_hidden_layers=None,
               num_attention_heads=None, intermediate_size=None)
HIERARCHY = dict(embed_dim=None, depth=None, num_heads=None)

FAMILIES = {
    "vit_timm": vit("vit_base_patch16_224"),
    "vit_hf": hf("ViTForImageClassification", "ViTConfig"),
    "vit_hf_eager": hf("ViTForImageClassification", "ViTConfig", "eager", output_hidden_states=True),
    "vit_torchvision": torchvision_vit,
    "deit_timm": vit("deit_small_patch16_224"),
    "deit_distilled_timm": vit("deit_small_distilled_patch16_224"),
    "deit_distilled_hf": hf("DeiTForImageClassificationWithTeacher", "DeiTConfig"),
    "deit3_timm": vit("deit3_small_patch16_224"),
    "dinov2_timm": vit("vit_small_patch14_dinov2"),
    "dinov2_hf": hf("Dinov2Model", "Dinov2Config", mlp_ratio=2, intermediate_size=None),
    "dinov2_giant_hf": hf("Dinov2Model", "Dinov2Config", mlp_ratio=2, use_swiglu_ffn=True, intermediate_size=None),
    "dinov2_registers_timm": vit("vit_small_patch14_reg4_dinov2"),
    "dinov2_registers_hf": hf("Dinov2WithRegistersForImageClassification", "Dinov2WithRegistersConfig", mlp_ratio=2, intermediate_size=None),
    "dinov3_timm": vit("vit_small_patch16_dinov3"),
    "dinov3_hf": hf("DINOv3ViTModel", "DINOv3ViTConfig", num_register_tokens=2),
    "clip_timm": vit("vit_base_patch32_clip_quickgelu_224"),
    "clip_hf": hf("CLIPVisionModelWithProjection", "CLIPVisionConfig", projection_dim=16),
    "siglip_timm": vit("vit_base_patch16_siglip_224"),
    "siglip_hf": hf("SiglipVisionModel", "SiglipVisionConfig"),
    "beit_timm": vit("beit_base_patch16_224"),
    "beit_hf": hf("BeitForImageClassification", "BeitConfig", use_relative_position_bias=True, use_auxiliary_head=False),
    "eva02_timm": vit("eva02_tiny_patch14_224"),
    "eva_timm": vit("eva_giant_patch14_224"),
    "mae_hf": mae,
    "swin_timm": functools.partial(of_timm, "swin_tiny_patch4_window7_224", **SWIN),
    "swin_hf": hf("SwinForImageClassification", "SwinConfig", "eager", **HF_SWIN),
    "swin_torchvision": torchvision_swin,
    "swinv2_timm": functools.partial(of_timm, "swinv2_tiny_window8_256", **SWIN),
    "swinv2_hf": hf("Swinv2ForImageClassification", "Swinv2Config", "eager", **HF_SWIN),
    "swinv2_torchvision": functools.partial(torchvision_swin, "SwinTransformerBlockV2"),
    "maxvit_torchvision": torchvision_maxvit,
    "maxvit_timm": lambda: timm.models.maxxvit.MaxxVit(timm.models.maxxvit.MaxxVitCfg(
        embed_dim=(16, 32), depths=(1, 1), block_type=("M", "M"), stem_width=16,
        transformer_cfg=timm.models.maxxvit.MaxxVitTransformerCfg(window_size=(4, 4), grid_size=(4, 4), dim_head=8)), img_size=SIZE, num_classes=CLASSES),
    "mvitv2_timm": lambda: timm.models.mvitv2.MultiScaleVit(timm.models.mvitv2.MultiScaleVitCfg(
        depths=(1, 1), embed_dim=(16, 32), num_heads=(1, 2)), img_size=SIZE, num_classes=CLASSES),
    "hiera_timm": lambda: timm.models.hiera.Hiera(img_size=(64, 64), embed_dim=16, num_heads=1, stages=(1, 1, 1), num_classes=CLASSES,
                                                  q_pool=2, global_pos_size=(4, 4)),
    "sam_timm": vit("samvit_base_patch16", window_size=2, global_attn_indexes=(1,), neck_chans=16),
    "sam_hf": hf("SamVisionModel", "SamVisionConfig", "eager", output_channels=16, window_size=2, global_attn_indexes=[1], mlp_dim=64,
                 intermediate_size=None),
    "dense_head": DenseHead,
    "depth_hf": hf("DPTForDepthEstimation", "DPTConfig", num_hidden_layers=4, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8],
                   fusion_hidden_size=8, is_hybrid=False),
    "segformer_hf": hf("SegformerForSemanticSegmentation", "SegformerConfig", "eager", num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1],
                       hidden_sizes=[16, 32], patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2],
                       decoder_hidden_size=16, hidden_size=None, intermediate_size=None, num_hidden_layers=None, patch_size=None),
    "yolos_hf": hf("YolosForObjectDetection", "YolosConfig", image_size=[SIZE, SIZE], num_detection_tokens=5),
    "cait_timm": vit("cait_xxs24_224"),
    "xcit_timm": vit("xcit_nano_12_p16_224"),
}
SIZES = {"hiera_timm": 64}
# What one of the exporters cannot do, with its reason; the test prints it.
LEFT_OUT = {("dinov2_registers_hf", "torchscript"): "TorchScript's exporter has no bicubic resize with antialias, which this class always does"}


def build(name):
    torch.manual_seed(0)
    set_fused_attn(True)
    model = FAMILIES[name]()
    with torch.no_grad():  # away from zero biases and unit scales, which would hide mistakes
        for p in model.parameters():
            if p.is_floating_point():
                p.add_(torch.randn_like(p) * 0.1)
        for key, b in model.named_buffers():
            if "running" in key:
                b.add_(torch.rand_like(b) * 0.1)
    return model.eval()


def example(name, batch=2):
    side = SIZES.get(name, SIZE)
    return torch.zeros(batch, 3, side, side)


def jobs():
    """(file name, family, exporter)"""
    for name in FAMILIES:
        for exporter in ("dynamo", "torchscript"):
            if (name, exporter) not in LEFT_OUT:
                yield f"{name}_{exporter}", name, exporter


def export(name, exporter, path):
    """By Vitrail's own package, which compares with ONNX Runtime; PyTorch's outputs go beside the model."""
    import numpy as np
    import vitrail
    from vitrail.interface import Flat, random_inputs

    module = build(name)
    report = vitrail.export(module, example(name), path, exporter=exporter, reference=False, seeds=(0,), say=lambda line: None)
    arrays = {}
    for batch in (1, 3):
        inputs = random_inputs((example(name),), batch, 7)
        arrays[f"x{batch}"] = inputs[0].numpy()
        with torch.no_grad():
            for output, tensor in zip(report.outputs, Flat(module)(*inputs)):
                arrays[f"y{batch}.{output}"] = tensor.numpy()
    np.savez(path.with_suffix(".npz"), **arrays)
