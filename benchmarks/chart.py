#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Throughput against batch size as an SVG, from the JSON of `vitrail bench` or benchmarks/peers.py.

    chart.py RESULTS.json… -o throughput.svg [--by compute|latency] [--title TEXT] [--only TEXT,TEXT]

One line a program. --by compute takes the network's time on the device where it is known (else, and with --by latency, the
rate that the host saw). --only keeps labels that hold one of the texts.
"""
import argparse
import json
import math
import pathlib
import sys
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 460, 80, 250, 50, 60
# Okabe and Ito's palette: told apart by the colour-blind, too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")


def runs_in(value) -> list:
    """Every run of a file: one, a list, or an object with `bench`, `peers` or `runs`."""
    if isinstance(value, list):
        return [run for item in value for run in runs_in(item)]
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("results"), list):
        return [value]
    return [run for key in ("bench", "peers", "runs") for run in runs_in(value.get(key))]


def rate(result: dict, by: str) -> float:
    device = result.get("device") or {}
    compute = device.get("images_per_second") if by == "compute" else None
    return float(compute or result["images_per_second"])


def series(files, by, only) -> dict:
    lines = {}
    for file in files:
        for run in runs_in(json.loads(pathlib.Path(file).read_text())):
            label = run.get("label") or run.get("runner") or str(file)
            if only and not any(text in label for text in only):
                continue
            points = sorted((int(r["batch"]), rate(r, by)) for r in run["results"])
            while label in lines:
                label += "′"
            if points:
                lines[label] = points
    return lines


def ticks(top: float, count: int = 5) -> list:
    rough = top / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    return [i * step for i in range(int(math.ceil(top / step)) + 1)]


def svg(lines: dict, title: str, by: str) -> str:
    batches = sorted({b for points in lines.values() for b, _ in points})
    marks = ticks(max(v for points in lines.values() for _, v in points) or 1)
    low, high = math.log2(batches[0]), math.log2(batches[-1])
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(batch):
        return LEFT + (right - LEFT) * ((math.log2(batch) - low) / (high - low) if high > low else 0.5)

    def y(value):
        return bottom - (bottom - TOP) * value / marks[-1]

    def text(px, py, words, anchor="middle", size=12, extra=""):
        return f'<text x="{px:.1f}" y="{py:.1f}" text-anchor="{anchor}" font-size="{size}" {extra}>{escape(words)}</text>'

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
           'font-family="sans-serif" fill="#222">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           text(LEFT, 26, title, "start", 16)]
    for mark in marks:
        out.append(f'<line x1="{LEFT}" x2="{right}" y1="{y(mark):.1f}" y2="{y(mark):.1f}" stroke="#ddd"/>')
        out.append(text(LEFT - 8, y(mark) + 4, f"{mark:g}", "end"))
    for batch in batches:
        out.append(text(x(batch), bottom + 20, str(batch)))
    out.append(text((LEFT + right) / 2, HEIGHT - 14, "batch size"))
    middle = (TOP + bottom) / 2
    out.append(text(20, middle, "images/s" + (" by compute" if by == "compute" else ""), extra=f'transform="rotate(-90 20 {middle:.1f})"'))
    # Best first, as the lines lie at their right end.
    for i, (label, points) in enumerate(sorted(lines.items(), key=lambda item: -item[1][-1][1])):
        colour = COLOURS[i % len(COLOURS)]
        dash = ' stroke-dasharray="6 4"' if i >= len(COLOURS) else ""
        path = " ".join(f"{x(b):.1f},{y(v):.1f}" for b, v in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        for b, v in points:
            out.append(f'<circle cx="{x(b):.1f}" cy="{y(v):.1f}" r="3" fill="{colour}"><title>{escape(label)}, batch {b}: {v:.0f} images/s</title></circle>')
        row = TOP + 18 * i
        out.append(f'<line x1="{right + 16}" x2="{right + 40}" y1="{row}" y2="{row}" stroke="{colour}" stroke-width="2"{dash}/>')
        out.append(text(right + 46, row + 4, label, "start"))
    return "\n".join(out + ["</svg>"]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--by", choices=["compute", "latency"], default="compute")
    parser.add_argument("--title", default="Throughput")
    parser.add_argument("--only", default="", type=lambda s: [t for t in s.split(",") if t])
    args = parser.parse_args()
    lines = series(args.results, args.by, args.only)
    if not lines:
        sys.exit("no results to draw in " + ", ".join(args.results))
    args.output.write_text(svg(lines, args.title, args.by))
    return 0


if __name__ == "__main__":
    sys.exit(main())
