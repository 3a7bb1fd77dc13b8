# SPDX-License-Identifier: Apache-2.0
"""Preprocessing as timm, Hugging Face and torchvision write it, restated as Vitrail's contract (docs/export.md), and labels."""
import json
import math
import pathlib

from vitrail.errors import ExportError

PIL_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
FILTERS = ("nearest", "bilinear", "bicubic", "lanczos")


def contract(height, width, mode, crop_pct, interpolation, mean, std, color="RGB"):
    """The JSON object that Vitrail reads; mean and std are of channels scaled to 0..1."""
    if interpolation not in FILTERS:
        raise ExportError(f"preprocessing: interpolation '{interpolation}' is not known; there are {', '.join(FILTERS)}")
    return {"height": int(height), "width": int(width), "resize_mode": mode, "crop_pct": crop_pct, "interpolation": interpolation,
            "mean": [round(float(v), 8) for v in mean], "std": [round(float(v), 8) for v in std], "color": color}


def crop_share(crop, scaled):
    """crop / scaled as the double for which floor(crop / share) is scaled again."""
    share = crop / scaled
    while math.floor(crop / share) < scaled:
        share = math.nextafter(share, 0)
    return share


def from_timm(config):
    """Of timm's data config (timm.data.resolve_model_data_config): what transforms_imagenet_eval does with it."""
    _, height, width = config["input_size"]
    modes = {"center": "shortest", "squash": "squash", "border": "longest"}
    if config.get("crop_mode", "center") not in modes:
        raise ExportError(f"timm's crop_mode '{config['crop_mode']}' is not known; there are {', '.join(modes)}")
    return contract(height, width, modes[config.get("crop_mode", "center")], float(config.get("crop_pct", 0.875)),
                    config.get("interpolation", "bicubic"), config["mean"], config["std"])


def from_torchvision(preset):
    """Of torchvision.transforms._presets.ImageClassification, which every classification weight carries."""
    crop, resize = preset.crop_size[0], preset.resize_size[0]
    if crop > resize:
        raise ExportError(f"torchvision's preset resizes to {resize} and crops {crop}: padding by a crop is not supported")
    return contract(crop, crop, "shortest", crop_share(crop, resize), preset.interpolation.value, preset.mean, preset.std)


def from_huggingface(config):
    """Of preprocessor_config.json as a dict. ExportError where Vitrail has no such preparation (padding to one side, tiles)."""
    filters = config.get("resample", 2)
    interpolation = PIL_FILTERS.get(int(filters), str(filters))
    size = _size(config.get("size", {"height": 224, "width": 224}))
    crop = _size(config.get("crop_size", size)) if config.get("do_center_crop") else None
    if not config.get("do_resize", True):
        raise ExportError("preprocessor_config.json does not resize (do_resize is false): pictures of any size cannot be served")
    if config.get("do_pad"):
        raise ExportError("preprocessor_config.json pads pictures at one side (do_pad), which Vitrail's preprocessing does not")
    if "shortest_edge" in size:
        target = crop or {"height": size["shortest_edge"], "width": size["shortest_edge"]}
        mode, scaled = "shortest", (size["shortest_edge"], size["shortest_edge"])
        if crop is None:
            raise ExportError("preprocessor_config.json resizes the shorter edge without a crop: pictures would differ in size")
    elif "height" in size:
        target, mode, scaled = crop or size, "squash", (size["height"], size["width"])
    else:
        raise ExportError(f"preprocessor_config.json has the size {size}; Vitrail knows height and width, or shortest_edge with a centre crop")
    shares = {crop_share(target[k], s) for k, s in zip(("height", "width"), scaled)}
    if len(shares) > 1 or max(shares) > 1:
        raise ExportError(f"preprocessor_config.json crops {target} out of {size}: one share for both axes, at most 1, is needed")
    # x' = (p · factor − mean) / std on bytes, restated on p / 255.
    unit = 255 * (config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1)
    normalise = config.get("do_normalize", True)
    mean = config.get("image_mean", [0.5] * 3) if normalise else [0.0] * 3
    std = config.get("image_std", [0.5] * 3) if normalise else [1.0] * 3
    return contract(target["height"], target["width"], mode, shares.pop(), interpolation, [m / unit for m in mean], [s / unit for s in std])


def _size(size):
    return {"height": size, "width": size} if isinstance(size, int) else size


def prepare(path, c):
    """One picture as [3, height, width] float32, by Pillow or torchvision, as Vitrail prepares it."""
    import numpy as np
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    h, w = math.floor(c["height"] / c["crop_pct"]), math.floor(c["width"] / c["crop_pct"])
    if c["resize_mode"] != "squash":
        ratios = picture.width / w, picture.height / h
        if c["resize_mode"] == "shortest" and w == h:  # torchvision's Resize(int) rounds down
            shorter = min(picture.size)
            w, h = (int(w * side / shorter) for side in picture.size)
        else:
            ratio = max(ratios) if c["resize_mode"] == "longest" else min(ratios)
            w, h = max(1, round(picture.width / ratio)), max(1, round(picture.height / ratio))
    mean, std = (np.array(c[key], np.float32) for key in ("mean", "std"))
    if c["color"] == "BGR":  # the picture is still RGB
        mean, std = mean[::-1], std[::-1]
    arithmetic = c.get("arithmetic", "pillow")

    def scaled(pixels):
        return pixels.astype(np.float32) / np.float32(255) if arithmetic == "pillow" else pixels.astype(np.float32) * np.float32(1 / 255)

    pixels = _resized(picture, w, h, c["interpolation"], arithmetic, scaled)
    canvas = np.empty((c["height"], c["width"], 3), np.float32)
    canvas[:] = scaled(np.clip(np.round(255 * mean.astype(float)), 0, 255))
    (x, to_x, columns), (y, to_y, rows) = _overlap(w, c["width"]), _overlap(h, c["height"])
    canvas[to_y:to_y + rows, to_x:to_x + columns] = pixels[y:y + rows, x:x + columns]
    normal = ((canvas - mean) / std).transpose(2, 0, 1)
    return np.ascontiguousarray(normal[::-1] if c["color"] == "BGR" else normal)


def _resized(picture, w, h, interpolation, arithmetic, scaled):
    """[h, w, 3] with channels of 0 to 1."""
    import numpy as np
    from PIL import Image

    if arithmetic == "pillow":
        return scaled(np.asarray(picture.resize((w, h), getattr(Image.Resampling, interpolation.upper()))))
    import torch
    from torchvision.transforms import InterpolationMode, v2

    pixels = np.array(picture)
    tensor = torch.from_numpy(scaled(pixels) if arithmetic == "torchvision-float" else pixels).permute(2, 0, 1).contiguous()
    made = v2.functional.resize(tensor, [h, w], InterpolationMode(interpolation), antialias=True).permute(1, 2, 0).numpy()
    return made if arithmetic == "torchvision-float" else scaled(made)


def _overlap(scaled, target):
    """First pixel of the picture, first pixel of the output, and how many."""
    return (round((scaled - target) / 2), 0, target) if scaled >= target else (0, (target - scaled) // 2, scaled)


def read_preprocess(path):
    """A contract from a JSON file, for --preprocess."""
    try:
        return json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: {error}") from error


def read_labels(path):
    """Class names, one a line, for --labels."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: {error}") from error
