# SPDX-License-Identifier: Apache-2.0
"""Writes what timm's evaluation transforms make of photographs: timm_expected.py OUT SHARED_DATA.

OUT/manifest.json lists {"preprocess": [{path, contract, expected}]}; `expected` is a .npy of float32 [3, H, W].
"""
import json
import pathlib
import sys

import numpy as np
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_eval

CROP_MODES = {"squash": "squash", "shortest": "center", "longest": "border"}
NORMS = [((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]

SIZES = [((224, 224), 0.875, "bicubic"), ((224, 224), 0.9, "bicubic"), ((96, 160), 0.95, "bilinear"),
         ((121, 77), 1.0, "lanczos"), ((64, 64), 0.6, "nearest")]


def main():
    out, shared = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    pictures = [*sorted(shared.glob("imagenet_samples/*.JPEG"))[::12],
                *sorted(shared.glob("cifar10/test/cat/*.jpg"))[:2]]
    cases = []
    for index, path in enumerate(pictures):
        image = Image.open(path).convert("RGB")
        for mode, crop_mode in CROP_MODES.items():
            for size, crop_pct, interpolation in SIZES:
                mean, std = NORMS[index % 2]
                transform = transforms_imagenet_eval(img_size=size, crop_pct=crop_pct, crop_mode=crop_mode,
                                                     interpolation=interpolation, mean=mean, std=std)
                expected = out / f"preprocess{len(cases)}.npy"
                np.save(expected, transform(image).numpy())
                cases.append({"path": str(path), "expected": str(expected), "contract": {
                    "height": size[0], "width": size[1], "resize_mode": mode, "crop_pct": crop_pct,
                    "interpolation": interpolation, "mean": mean, "std": std, "color": "RGB"}})
    (out / "manifest.json").write_text(json.dumps({"preprocess": cases}))


if __name__ == "__main__":
    main()
