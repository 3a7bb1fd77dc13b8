#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quantizes a model as its users do today, for `vitrail compare` to put beside Vitrail's own.

    quantizers.py MODEL.onnx --preprocess P.json --images DIR -o FOLDER [--samples 200]

Writes FOLDER/onnxruntime.int8.onnx (quantize_static after its own pre-processing: min-max ranges, U8S8, weights per
channel, Q/DQ, MatMul, Gemm and Conv only: its default, every operator that it can, loses far more on a ViT) and
FOLDER/nncf.int8.onnx (quantize with model_type=TRANSFORMER, 8-bit preset "performance"), each
calibrated on the same pictures. Needs onnxruntime; and nncf for the second, which is left out, with a word, without it.
"""
import argparse
import json
import pathlib
import sys
import time

import numpy
import onnx
from PIL import Image

FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm"}


def prepare(path, contract):
    """One picture [1,3,H,W] as the model was trained; squash and shortest are what classifiers use."""
    image = Image.open(path).convert("RGB")
    height, width, crop = contract["height"], contract["width"], contract.get("crop_pct", 1.0)
    target = int(width / crop), int(height / crop)
    if contract.get("resize_mode", "shortest") == "shortest":
        factor = max(target[0] / image.width, target[1] / image.height)
        target = max(target[0], round(image.width * factor)), max(target[1], round(image.height * factor))
    elif contract["resize_mode"] != "squash":
        sys.exit(f"resize_mode {contract['resize_mode']} is not done here")
    image = image.resize(target, FILTERS[contract.get("interpolation", "bicubic")])
    left, top = (image.width - width) // 2, (image.height - height) // 2
    pixels = numpy.asarray(image.crop((left, top, left + width, top + height)), numpy.float32) / 255
    pixels = (pixels - numpy.float32(contract["mean"])) / numpy.float32(contract["std"])
    return pixels.transpose(2, 0, 1)[None]


def pictures(folder, count):
    files = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES)
    count = min(count, len(files))
    return [files[i * len(files) // count] for i in range(count)]


def by_onnxruntime(model, name, batches, out):
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.rest = iter(batches)

        def get_next(self):
            x = next(self.rest, None)
            return None if x is None else {name: x}

    clean = out.with_suffix(".clean.onnx")
    quant_pre_process(str(model), str(clean), skip_symbolic_shape=True)
    quantization.quantize_static(str(clean), str(out), Reader(), quant_format=quantization.QuantFormat.QDQ,
                                 activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
                                 per_channel=True, op_types_to_quantize=["MatMul", "Gemm", "Conv"])
    clean.unlink()


def by_nncf(model, name, batches, out):
    import nncf

    made = nncf.quantize(onnx.load(str(model)), nncf.Dataset([{name: x} for x in batches]),
                         model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches))
    onnx.save(made, str(out))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--preprocess", type=pathlib.Path, required=True)
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    contract = json.loads(options.preprocess.read_text())
    name = onnx.load(str(options.model), load_external_data=False).graph.input[0].name
    batches = [prepare(p, contract) for p in pictures(options.images, options.samples)]
    for tool, make in (("onnxruntime", by_onnxruntime), ("nncf", by_nncf)):
        out, start = options.output / f"{tool}.int8.onnx", time.monotonic()
        try:
            make(options.model, name, batches, out)
        except ImportError as missing:
            print(f"{tool}: left out: {missing}")
            continue
        print(f"{tool}: {out} ({out.stat().st_size / 2**20:.1f} MiB) in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
