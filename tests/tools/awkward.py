# SPDX-License-Identifier: Apache-2.0
"""Small modules, each with one thing that exports stumble over."""
import torch
from torch import nn
from torch.nn import functional as F

SIZE, PATCH, DIM = 32, 8, 32


class Net(nn.Module):
    """Patches, one step in between, a classifier."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.patches = nn.Conv2d(3, DIM, PATCH, PATCH)
        self.head = nn.Linear(DIM, 5)

    def forward(self, x):
        return self.head(self.between(self.patches(x).flatten(2).transpose(1, 2)).mean(1))

    def between(self, x):
        return x


class AlwaysDropout(Net):
    def between(self, x):
        return F.dropout(x, 0.5)  # training=True is the default


class OwnDropout(Net):
    def between(self, x):
        return x * (torch.rand_like(x) > 0.1)


class DroppingAttention(Net):
    def between(self, x):
        return F.scaled_dot_product_attention(x, x, x, dropout_p=0.1)


class BatchStatistics(Net):
    def between(self, x):
        return F.batch_norm(x.transpose(1, 2), None, None, training=True).transpose(1, 2)


class FixedBatch(Net):
    def between(self, x):
        return x.reshape(2, 4, 4, DIM).flatten(1, 2)


class PythonBatch(Net):
    """Silently specialised by tracing: the number of the traced batch ends up in the graph."""

    def between(self, x):
        return x + torch.ones(int(torch.tensor(x.shape[0])), 1, 1)


class BranchOnBatch(Net):
    def between(self, x):
        return x * 2 if x.shape[0] == 2 else x


class AntialiasedPositions(Net):
    """DINOv2's position embedding at another size than it was trained at."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, DIM, 7, 7))

    def between(self, x):
        side = int(x.shape[1] ** 0.5)
        return x + F.interpolate(self.positions, size=(side, side), mode="bicubic", antialias=True).flatten(2).transpose(1, 2)


@torch.library.custom_op("vitrail_tests::attention", mutates_args=())
def custom_attention(x: torch.Tensor) -> torch.Tensor:
    return torch.softmax(x @ x.transpose(1, 2), -1) @ x


@custom_attention.register_fake
def _(x):
    return torch.empty_like(x)


class CustomAttention(Net):
    class Attention(nn.Module):
        def forward(self, x):
            return custom_attention(x)

    def __init__(self):
        super().__init__()
        self.attention = self.Attention()

    def between(self, x):
        return self.attention(x)


class Unsupported(Net):
    def between(self, x):
        return torch.special.bessel_j0(x)


class SdpaVariants(Net):
    """Masks of bools and of floats, causal, grouped heads, a scale of its own."""

    def between(self, x):
        h = x.unflatten(-1, (4, 8)).transpose(1, 2)
        mask = torch.ones(16, 16, dtype=torch.bool).tril(2)
        y = F.scaled_dot_product_attention(h, h, h, attn_mask=mask)
        y = y + F.scaled_dot_product_attention(h, h, h, attn_mask=mask.float(), scale=0.3)
        y = y + F.scaled_dot_product_attention(h, h, h, is_causal=True)
        y = y + F.scaled_dot_product_attention(h, h[:, :2], h[:, :2], enable_gqa=True)
        return y.transpose(1, 2).flatten(2)


class Nested(Net):
    """Outputs as models give them: a mapping with tuples inside, integers, nothing."""

    def forward(self, x):
        y = super().forward(x)
        return {"logits": y, "states": (y * 2, [y + 1]), "best": y.argmax(-1), "none": None}


class TwoInputs(Net):
    def forward(self, pixels, weights):
        return super().forward(pixels) * weights


class NotANumber(Net):
    def between(self, x):
        return x / 0


class Broken(Net):
    def between(self, x):
        return x @ x


def factory():
    return {"module": Nested().eval(), "example": torch.zeros(1, 3, SIZE, SIZE),
            "preprocess": {"height": SIZE, "width": SIZE, "resize_mode": "shortest", "crop_pct": 0.8, "interpolation": "bicubic",
                           "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "color": "RGB"},
            "labels": ["ant", "bee", "café", "dog", "emu"]}


def raising():
    return undefined_name  # noqa: F821
