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
                  "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS,
                  "box": Image.Resampling.BOX, "hamming": Image.Resampling.HAMMING}
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
    return saves + bitmaps(folder, rgb, rng) + netpbm(folder, rgb, rng) + animations(folder, rgb, rgba)


def bitmaps(folder, rgb, rng):
    """BMP files of every depth, most of which Pillow reads but does not write."""
    saves = []

    def save(name, bits, rows, compression=0, colours=b"", masks=b"", height=None, old=False):
        width = rows.shape[1] if not isinstance(rows, bytes) else 23
        height = height or (rows.shape[0] if not isinstance(rows, bytes) else 19)
        if isinstance(rows, bytes):
            data = rows
        else:
            packed = rows if bits >= 8 else None
            if bits < 8:
                values = rows.astype(np.uint8)
                each = 8 // bits
                padded = np.pad(values, ((0, 0), (0, -values.shape[1] % each))).reshape(len(values), -1, each)
                shifts = np.arange(each)[::-1] * bits
                packed = (padded << shifts).sum(-1).astype(np.uint8)
            lines = [line.tobytes() for line in packed[::-1 if height > 0 else 1]]
            data = b"".join(line + bytes(-len(line) % 4) for line in lines)
        if old:
            header = struct.pack("<IHHHH", 12, width, height, 1, bits)
        else:
            header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0,
                                 len(colours) // 4 if bits <= 8 else 0, 0) + masks
        offset = 14 + len(header) + len(colours)
        saves.append(folder / name)
        saves[-1].write_bytes(struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset) + header + colours + data)

    palette = rng.integers(0, 256, (256, 4), dtype=np.uint8)
    palette[:, 3] = 0
    for bits in (1, 4, 8):
        indices = rng.integers(0, 2**bits, (19, 23), dtype=np.uint8)
        save(f"b{bits}.bmp", bits, indices, colours=palette[:2**bits].tobytes())
        save(f"b{bits}_old.bmp", bits, indices, colours=palette[:2**bits, :3].tobytes(), old=True)
        save(f"b{bits}_top.bmp", bits, indices, colours=palette[:2**bits].tobytes(), height=-19)
    save("b8_few.bmp", 8, rng.integers(0, 20, (19, 23), dtype=np.uint8), colours=palette[:20].tobytes())
    wide = rng.integers(0, 65536, (19, 23), dtype=np.uint16)
    save("b16.bmp", 16, wide & 0x7fff)
    save("b565.bmp", 16, wide, compression=3, masks=struct.pack("<III", 0xf800, 0x7e0, 0x1f))
    full = rng.integers(0, 2**32, (19, 23), dtype=np.uint32)
    save("b32.bmp", 32, full)
    save("b32_masks.bmp", 32, full, compression=3, masks=struct.pack("<III", 0xff0000, 0xff00, 0xff))
    save("b24_old.bmp", 24, rng.integers(0, 256, (19, 23 * 3), dtype=np.uint8)[:, :69].reshape(19, 23, 3), old=True)
    runs8 = b"".join(bytes([10, y + 1, 0, 5]) + bytes([y, 7, 9, 3, 250, 0]) + bytes([8, 2 * y, 0, 0])
                     for y in range(19)) + b"\0\1"
    save("rle8.bmp", 8, runs8, compression=1, colours=palette.tobytes())
    runs4 = b"".join(bytes([15, 0x3a, 0, 4, 0x12, 0x9f, 4, y % 16 * 17, 0, 0]) for y in range(19)) + b"\0\1"
    save("rle4.bmp", 4, runs4, compression=2, colours=palette[:16].tobytes())
    for mode in ("1", "L", "P"):
        saves.append(folder / f"pil_{mode}.bmp")
        rgb.convert(mode).save(saves[-1])
    return saves


def netpbm(folder, rgb, rng):
    saves = []
    grey = rng.integers(0, 256, (19, 23))
    for name, content in {
            "plain.pbm": "P1\n# bits\n23 19\n" + "\n".join("".join(map(str, row % 2)) for row in grey),
            "plain.pgm": "P2 23 19 200\n" + " ".join(map(str, np.minimum(grey, 200).ravel())) + "\n",
            "plain16.pgm": "P2 23 19 40000\n" + " ".join(map(str, (grey * 3).ravel())) + " ",
            "plain.ppm": "P3\n23 19\n255 # top\n" + "\n".join(
                " ".join(map(str, v)) for v in rng.integers(0, 256, (19 * 23, 3))) + "\n",
            "plain1000.ppm": "P3 23 19 1000 " + " ".join(map(str, rng.integers(0, 1001, 19 * 23 * 3))) + "\n"}.items():
        saves.append(folder / name)
        saves[-1].write_text(content)
    saves.append(folder / "bits.pbm")
    rgb.convert("1").save(saves[-1])
    return saves


def animations(folder, rgb, rgba):
    saves = []
    for name, first, second in (("moving.webp", rgb, rgb.rotate(180)), ("moving_alpha.webp", rgba, rgba.rotate(180))):
        for lossless in (False, True):
            saves.append(folder / f"{lossless}_{name}")
            first.save(saves[-1], save_all=True, append_images=[second], duration=100, lossless=lossless)
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
