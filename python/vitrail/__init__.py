# SPDX-License-Identifier: Apache-2.0
"""Vitrail's Python side: `export` takes a PyTorch module to ONNX and proves that it still computes the same.

    import vitrail
    vitrail.export(module, torch.zeros(2, 3, 224, 224), "model.onnx")

`python -m vitrail export --help` is the same for models of timm, Hugging Face, torchvision and your own files.
"""
from vitrail.errors import ExportError

__all__ = ["ExportError", "export"]


def __getattr__(name):  # importing torch takes seconds, which `--help` and a missing package should not cost
    if name == "export":
        from vitrail.exporting import export

        return export
    raise AttributeError(f"module 'vitrail' has no attribute '{name}'")
