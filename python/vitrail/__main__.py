# SPDX-License-Identifier: Apache-2.0
"""python -m vitrail export SOURCE -o MODEL.onnx …: the verb `vitrail export` calls this; `optimize --pytorch` calls measure."""
import argparse
import json
import sys

from vitrail.errors import BAD_USAGE, INTERRUPTED, UNAVAILABLE, ExportError

NEEDED = {"export": ("numpy", "onnx", "onnxruntime", "torch"), "measure": ("numpy", "torch")}


def numbers(text):
    try:
        return [int(n) for n in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}': write numbers as 1,3,4") from None


def parser():
    p = argparse.ArgumentParser(prog="vitrail", description="Exports a model from PyTorch to ONNX and proves that it computes the same.")
    verbs = p.add_subparsers(dest="verb", required=True)
    e = verbs.add_parser("export", help="From PyTorch to a proven ONNX model")
    e.add_argument("source", metavar="SOURCE", help="timm:NAME, hf:NAME_OR_DIR, torchvision:NAME or file.py:factory")
    e.add_argument("-o", "--output", required=True, metavar="FILE", help="ONNX file to write")
    e.add_argument("--checkpoint", metavar="FILE", help="weights (.pth, .pt, .bin, .safetensors) in place of the published ones")
    e.add_argument("--random-weights", action="store_true", help="no weights at all: to try an export")
    e.add_argument("--img-size", type=int, metavar="N", help="side of the pictures that the model is built for")
    e.add_argument("--exporter", choices=("auto", "dynamo", "torchscript"), default="auto", help="auto: dynamo, then torchscript")
    e.add_argument("--opset", type=int, metavar="N", help="of ONNX (default 20 by dynamo, 17 by torchscript)")
    e.add_argument("--batches", type=numbers, default=[1, 3, 4], metavar="N,N", help="batch sizes to compare at (the traced one is 2)")
    e.add_argument("--seeds", type=int, default=2, metavar="N", help="random inputs for each batch size")
    e.add_argument("--images", metavar="DIR", help="folder of pictures to compare on as well")
    e.add_argument("--tolerance", type=float, metavar="X", help="largest error, of an output's largest magnitude (default 1e-4)")
    e.add_argument("--preprocess", metavar="FILE", help="JSON in place of the model's own preprocessing")
    e.add_argument("--labels", metavar="FILE", help="class names, one a line, in place of the model's own")
    e.add_argument("--no-reference", action="store_true", help="compare with ONNX Runtime alone")
    e.add_argument("--json", action="store_true", help="print one JSON object")
    m = verbs.add_parser("measure", help="How fast the original model is in PyTorch, as JSON that vitrail report reads")
    m.add_argument("source", metavar="SOURCE", help="as for export; its weights are random: speed does not depend on them")
    m.add_argument("-o", "--output", required=True, metavar="FILE", help="JSON file to write")
    m.add_argument("--name", default="", help="of the model, in the report")
    m.add_argument("--checkpoint", metavar="FILE", help="weights, where the module cannot be made without")
    m.add_argument("--img-size", type=int, metavar="N", help="side of the pictures")
    m.add_argument("--batch", type=numbers, default=[1, 8, 16, 32, 64], metavar="N,N", help="batch sizes")
    m.add_argument("--warm-up", type=int, default=100, metavar="N", help="untimed batches of each size")
    m.add_argument("--iterations", type=int, default=1000, metavar="N", help="timed batches of each size")
    m.add_argument("--max-seconds", type=float, metavar="S", help="shorten the whole run to about this long")
    m.add_argument("--threads", type=int, metavar="N", help="of PyTorch on the CPU")
    m.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU where there is one")
    return p


def run_measure(a):
    from vitrail import measuring, sources

    def say(line):
        print(line, file=sys.stderr, flush=True)

    source = sources.load(a.source, a.checkpoint, a.img_size, random_weights=True)
    report = measuring.measure(source.module, source.example, a.name or a.source, batches=a.batch, warm_up=a.warm_up, iterations=a.iterations,
                               max_seconds=a.max_seconds, threads=a.threads, device=a.device, say=say)
    with open(a.output, "w") as file:
        json.dump(report, file, indent=1)


def run_export(a):
    import torch

    from vitrail import checking, preprocessing, sources
    from vitrail.exporting import export

    def say(line):
        print(line, file=sys.stderr, flush=True)

    source = sources.load(a.source, a.checkpoint, a.img_size, a.random_weights)
    for note in source.notes:
        say(f"note: {note}")
    module = source.module.eval()
    if any(t.dtype in (torch.float16, torch.bfloat16) for t in module.parameters()):
        say("note: weights in half precision are widened to float32, exactly; vitrail build --precision chooses the engine's")
        module = module.float()
    preprocess = preprocessing.read_preprocess(a.preprocess) if a.preprocess else source.preprocess
    labels = preprocessing.read_labels(a.labels) if a.labels else source.labels
    report = export(module, source.example, a.output, exporter=a.exporter, opset=a.opset, preprocess=preprocess, labels=labels,
                    batches=a.batches, seeds=range(a.seeds), images=a.images, tolerance=a.tolerance or checking.TOLERANCE,
                    reference=not a.no_reference, source=a.source, say=say)
    if a.json:
        print(json.dumps({"model": report.path, "exporter": report.exporter, "opset": report.opset, "inputs": report.inputs,
                          "outputs": report.outputs, "traced_batch": report.traced_batch, "batches": report.batches, "seeds": report.seeds,
                          "images": report.pictures, "tolerance": report.tolerance, "max_scaled_error": report.worst,
                          "preprocess": preprocess, "labels": len(labels or []), "errors": [vars(e) for e in report.errors]}, indent=2))
        return
    checked = f"batch {', '.join(map(str, report.batches))} (traced at {report.traced_batch}), {len(report.seeds)} seeds"
    pictures = f", {report.pictures} pictures" if report.pictures else ""
    print(f"{report.path}: {report.exporter}, opset {report.opset}; {checked}{pictures}: largest error {report.worst:.2e} of an output's "
          f"largest magnitude; {'preprocessing' if preprocess else 'no preprocessing'} and {len(labels or [])} labels inside")


def main(arguments=None):
    a = parser().parse_args(arguments)
    missing = []
    for name in NEEDED[a.verb]:
        try:
            __import__(name)
        except ImportError as error:
            missing.append(f"{name} ({error})")
    if missing:
        print(f"error: vitrail {a.verb} needs {', '.join(missing)} in {sys.executable}:\n  {sys.executable} -m pip install torch onnx onnxscript "
              "onnxruntime pillow timm transformers\nor point VTL_PYTHON at a Python that has them", file=sys.stderr)
        return UNAVAILABLE
    try:
        {"export": run_export, "measure": run_measure}[a.verb](a)
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_USAGE + 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
