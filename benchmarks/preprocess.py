#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images a second from encoded files to normalised tensors, Vitrail beside Pillow and OpenCV: one run, interleaved.

    preprocess.py FOLDER [--program build/bin/preprocess_bench] [--rounds 7] [--threads 1,2]

Every file of FOLDER is decoded, resized so that its shorter side has 256 pixels (bicubic), cropped to 224 x 224 in the
middle and normalised to float32 [3, 224, 224], from memory. Programs take turns, all files each; figures are medians over
the rounds, ratios medians of the rounds' ratios. Vitrail's exact mode computes Pillow's bits. OpenCV's bicubic does not
antialias and its pixels are its own; it is left out where `cv2` is absent (pip install opencv-python-headless). Its own
threads are off: files are spread over threads instead, as for Pillow, which lets go of the interpreter's lock while it
decodes and resizes.
"""
import argparse
import concurrent.futures
import io
import pathlib
import platform
import statistics
import subprocess
import time

import numpy as np
import PIL
from PIL import Image

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
# What ToTensor and Normalize make of a byte, by channel: a look-up is the fastest way that NumPy has.
TABLE = ((np.arange(256, dtype=np.float32)[:, None] / np.float32(255) - MEAN) / STD).T.copy()
SHORT, CROP = 256, 224


def sizes(width, height):
    scaled = (SHORT, int(SHORT * height / width)) if width <= height else (int(SHORT * width / height), SHORT)
    return scaled, round((scaled[0] - CROP) / 2), round((scaled[1] - CROP) / 2)


def normalise(pixels):
    out = np.empty((3, CROP, CROP), np.float32)
    for channel in range(3):
        np.take(TABLE[channel], pixels[..., channel], out=out[channel], mode="clip")
    return out


def pillow(data):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    scaled, left, top = sizes(*image.size)
    image = image.resize(scaled, Image.Resampling.BICUBIC).crop((left, top, left + CROP, top + CROP))
    return normalise(np.asarray(image))


def opencv(data):
    import cv2
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    scaled, left, top = sizes(image.shape[1], image.shape[0])
    image = cv2.resize(image, scaled, interpolation=cv2.INTER_CUBIC)[top:top + CROP, left:left + CROP]
    return normalise(image[..., ::-1])


def in_python(function, files, threads):
    start = time.perf_counter()
    if threads == 1:
        for data in files:
            function(data)
    else:
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            list(pool.map(function, files))
    return time.perf_counter() - start


class Vitrail:
    def __init__(self, program, folder):
        self.process = subprocess.Popen([program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, mode, threads):
        print(mode, threads, file=self.process.stdin, flush=True)
        seconds, failed = self.process.stdout.readline().split()
        assert failed == "0", f"{failed} files could not be read"
        return float(seconds)


def processor():
    with open("/proc/cpuinfo") as info:
        fields = dict(line.split(":", 1) for line in info if ":" in line)
    fields = {k.strip(): v.strip() for k, v in fields.items()}
    flags = [f for f in ("avx2", "avx512bw") if f in fields.get("flags", "").split()]
    return f"{fields.get('model name', platform.processor())} (family {fields.get('cpu family')}, model " \
           f"{fields.get('model')}; {', '.join(flags)})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--program", default="build/bin/preprocess_bench")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", default="1,2")
    arguments = parser.parse_args()
    files = [p.read_bytes() for p in sorted(arguments.folder.rglob("*")) if p.is_file() and p.suffix.lower() in
             (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm")]
    vitrail = Vitrail(arguments.program, str(arguments.folder))
    programs = {"Vitrail, exact": lambda n: vitrail.run("exact", n),
                "Vitrail, every pixel decoded": lambda n: vitrail.run("whole", n),
                "Vitrail, scaled decoding": lambda n: vitrail.run("scaled", n),
                f"Pillow {PIL.__version__}": lambda n: in_python(pillow, files, n)}
    try:
        import cv2
        cv2.setNumThreads(1)
        programs[f"OpenCV {cv2.__version__}"] = lambda n: in_python(opencv, files, n)
    except ImportError:
        print("left out: OpenCV (cv2 cannot be imported)")
    print(f"{processor()}, {len(files)} files of {sum(map(len, files)) / len(files) / 1024:.0f} KiB on average, "
          f"{arguments.rounds} rounds\n")
    print("| threads | program | images/s | Vitrail, exact, is faster by |\n|---:|---|---:|---:|")
    for threads in map(int, arguments.threads.split(",")):
        times = {name: [] for name in programs}
        for turn in range(arguments.rounds + 1):
            for name, run in programs.items():
                seconds = run(threads)
                if turn > 0:  # the first turn warms up
                    times[name].append(seconds)
        exact = times["Vitrail, exact"]
        for name, seconds in times.items():
            ratio = statistics.median(s / e for s, e in zip(seconds, exact))
            print(f"| {threads} | {name} | {len(files) / statistics.median(seconds):.0f} | {ratio:.2f}x |")


if __name__ == "__main__":
    main()
