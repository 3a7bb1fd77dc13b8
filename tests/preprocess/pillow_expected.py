# SPDX-License-Identifier: Apache-2.0
"""Writes what Pillow makes of many pictures: pillow_expected.py OUT SHARED_DATA.

OUT/manifest.json lists {"decode": [{path, expected}], "resize": [{path, interpolation, width, height, expected}]};
`expected` is a .npy of uint8 [H, W, 3]. Pictures already in OUT/extra are decoded too.
"""
import json
import pathlib
import struct
import sys
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps

INTERPOLATIONS = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR,
                  "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def write_png(path, pixels, color_type, interlaced=False):
    """8- or 16-bit PNG of the kinds that Pillow cannot write; pixels [H, W, channels]."""
    height, width, _ = pixels.shape
    parts = [pixels[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [pixels]
    raw = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes()
                   for part in parts if part.size for row in part)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, color_type, 0, 0, int(interlaced))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) +
                     chunk(b"IEND", b""))


def synthetic(folder):
    """Pictures of every kind; yields their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:53, 0:71]
    smooth = np.stack([(x * 3 + y) % 256, (y * 4 + x) % 256, (x * 2 + 255 - y * 3) % 256], -1)
    noisy = smooth + rng.integers(-20, 20, smooth.shape)
    rgb = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    alpha = Image.fromarray(rng.integers(0, 256, (53, 71), dtype=np.uint8))
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    saves = []

    def save(image, name, **options):
        saves.append(folder / name)
        image.save(saves[-1], **options)

    for sampling in range(3):
        for progressive in (False, True):
            save(rgb, f"s{sampling}{progressive}.jpg", subsampling=sampling, progressive=progressive, quality=80)
    save(rgb, "low.jpg", quality=5)
    save(rgb.convert("L"), "grey.jpg")
    save(rgb.convert("CMYK"), "cmyk.jpg")
    save(rgb.crop((0, 0, 1, 17)), "1x17.jpg")
    save(rgb.crop((0, 0, 17, 1)), "17x1.jpg")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for kind in ("jpg", "png", "webp"):
            save(rgb, f"exif{orientation}.{kind}", exif=exif)
    palette = rgb.quantize(200)
    for mode in ("RGB", "RGBA", "L", "LA", "1"):
        save(rgba.convert(mode), f"{mode}.png")
    save(palette, "p.png"), save(palette, "p_trns.png", transparency=3)
    for bits in (1, 2, 4):
        save(rgb.quantize(2**bits), f"p{bits}.png", bits=bits)
    grey16 = rng.integers(0, 65536, (53, 71)) >> rng.integers(0, 16, (53, 71))
    save(Image.fromarray(grey16.astype(np.uint16)), "i16.png")
    for channels, color_type in ((1, 0), (3, 2), (2, 4), (4, 6)):
        for dtype in (np.uint8, np.uint16):
            for interlaced in (False, True):
                pixels = rng.integers(0, np.iinfo(dtype).max, (19, 23, channels), dtype=dtype)
                saves.append(folder / f"c{channels}_{np.dtype(dtype).name}_{interlaced}.png")
                write_png(saves[-1], pixels, color_type, interlaced)
    save(rgb, "lossy.webp", quality=60), save(rgb, "lossless.webp", lossless=True)
    save(rgba, "lossy_alpha.webp", quality=60), save(rgba, "lossless_alpha.webp", lossless=True)
    save(rgb, "rgb.bmp"), save(rgba, "rgba.bmp"), save(rgb, "rgb.ppm"), save(rgb.convert("L"), "l.pgm")
    wide = rng.integers(0, 1001, (5, 7, 3), dtype=np.uint16).astype(">u2")
    low = rng.integers(0, 101, 105, dtype=np.uint8)
    for name, content in {"m100.ppm": b"P6\n# x\n7 5\n100\n" + low.tobytes(),
                          "m1000.ppm": b"P6 7 5 1000\n" + wide.tobytes(),
                          "m1000.pgm": b"P5 7 5 1000\n" + (wide[..., 0] // 100).astype(">u2").tobytes(),
                          "m65535.pgm": b"P5 7 5 65535\n" + wide[..., 1].tobytes()}.items():
        saves.append(folder / name)
        saves[-1].write_bytes(content)
    return saves


def resize(image, width, height, resample):
    """Image.resize of Pillow 13, which shrinks the height first where that saves work; before, width came first."""
    rows, columns = image.height - height, image.width - width
    if int(PIL.__version__.split(".")[0]) < 13 and resample != Image.Resampling.NEAREST and rows > 0 \
            and rows > columns * 2:
        return image.resize((image.width, height), resample).resize((width, height), resample)
    return image.resize((width, height), resample)


def main():
    out, shared = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    photographs = sorted(shared.glob("imagenet_samples/*.JPEG"))
    small = sorted(shared.glob("cifar10/test/*/000?.jpg"))
    try:
        import skimage
        data = pathlib.Path(skimage.__file__).parent / "data"
        skimage_pictures = sorted([*data.glob("*.png"), *data.glob("*.jpg")])
    except ImportError:
        skimage_pictures = []
    made = synthetic(out / "made") + sorted((out / "extra").glob("*"))
    manifest = {"decode": [], "resize": []}

    def expect(kind, path, image, **case):
        name = f"{kind}{len(manifest[kind])}.npy"
        np.save(out / name, np.asarray(image))
        manifest[kind].append({"path": str(path), "expected": str(out / name), **case})

    def load(path):
        return ImageOps.exif_transpose(Image.open(path)).convert("RGB")

    for path in [*photographs, *small, *skimage_pictures, *made]:
        expect("decode", path, load(path))
    odd = [p for p in photographs if Image.open(p).size[0] % 2 or Image.open(p).size[1] % 2][:6]
    for path in [*photographs[:4], *odd, *small[:3], *made[:1], out / "made/1x17.jpg", out / "made/17x1.jpg"]:
        image = load(path)
        w, h = image.size
        sizes = {(224, 224), (37, 53), (w + 40, h), (w, max(1, h // 3)), (w + 9, max(1, h - 7)), (300, 20),
                 (20, 300), (int(w * 1.7), int(h * 1.3)), (max(1, w - 1), max(1, h - 1)), (1, 1)}
        for width, height in sorted(sizes):
            for name, resample in INTERPOLATIONS.items():
                expect("resize", path, resize(image, width, height, resample),
                       interpolation=name, width=width, height=height)
    (out / "manifest.json").write_text(json.dumps(manifest))


if __name__ == "__main__":
    main()
