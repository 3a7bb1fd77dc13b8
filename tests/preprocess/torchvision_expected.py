# SPDX-License-Identifier: Apache-2.0
"""Writes what torchvision's transforms make of tensors: torchvision_expected.py OUT SHARED_DATA.

OUT/manifest.json lists {"resize": [{path, interpolation, width, height, expected}], "crop": [{path, contract,
expected}]}; `expected` is a .npy of uint8 [H, W, 3]; "float" as "resize", of float32 in [0, 1]; "whole" as "crop", of what evaluation
makes in the end: float32 [3, H, W].
"""
import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.functional import InterpolationMode

MODES = {"nearest": InterpolationMode.NEAREST, "bilinear": InterpolationMode.BILINEAR,
         "bicubic": InterpolationMode.BICUBIC}


def main():
    out, shared = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    manifest = {"resize": [], "crop": [], "float": [], "whole": []}
    to_float = v2.ToDtype(torch.float32, scale=True)
    torch.set_num_threads(1)  # small pictures: more would only wait for each other

    def expect(kind, tensor, **case):
        name = f"{kind}{len(manifest[kind])}.npy"
        np.save(out / name, (tensor if kind == "whole" else tensor.permute(1, 2, 0)).contiguous().numpy())
        manifest[kind].append({"expected": str(out / name), **case})

    photographs = sorted(shared.glob("imagenet_samples/*.JPEG"))[::28]
    for index, path in enumerate(photographs):
        tensor = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)
        if index % 2:
            tensor = tensor.contiguous()  # the other memory format takes other code in PyTorch
        height, width = tensor.shape[1:]
        for w, h in sorted({(224, 224), (37, 53), (width + 40, height), (width, height // 3), (300, 20), (20, 300),
                            (int(width * 1.7), int(height * 1.3)), (width - 1, height - 1)}):
            for name, mode in MODES.items():
                expect("resize", v2.functional.resize(tensor, [h, w], interpolation=mode, antialias=True),
                       path=str(path), interpolation=name, width=w, height=h)
                if index < 4:
                    expect("float", v2.functional.resize(to_float(tensor), [h, w], interpolation=mode, antialias=True),
                           path=str(path), interpolation=name, width=w, height=h)
        for name, mode in MODES.items():
            transform = v2.Compose([v2.Resize(128, interpolation=mode, antialias=True), v2.CenterCrop(112)])
            expect("crop", transform(tensor), path=str(path), contract={
                "height": 112, "width": 112, "resize_mode": "shortest", "crop_pct": 0.875, "interpolation": name,
                "arithmetic": "torchvision"})
            crop = [v2.Resize(128, interpolation=mode, antialias=True), v2.CenterCrop(112)]
            for arithmetic, steps in (("torchvision", [*crop, to_float]), ("torchvision-float", [to_float, *crop])):
                made = v2.Compose([*steps, v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])(tensor)
                expect("whole", made, path=str(path), contract={
                    "height": 112, "width": 112, "resize_mode": "shortest", "crop_pct": 0.875, "interpolation": name,
                    "arithmetic": arithmetic})
    (out / "manifest.json").write_text(json.dumps(manifest))


if __name__ == "__main__":
    main()
