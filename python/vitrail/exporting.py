# SPDX-License-Identifier: Apache-2.0
"""The way from a module to a proven ONNX file."""
import copy
import dataclasses
import json
import os
import pathlib
import sys
import tempfile

import torch

from vitrail import checking, preprocessing
from vitrail.diagnose import check_batches, check_forward, check_mode, check_precision
from vitrail.errors import BAD_USAGE, CHECK_FAILED, ExportError
from vitrail.exporters import EXPORTERS, export_with
from vitrail.interface import Flat, example_inputs, flatten, input_names, random_inputs


@dataclasses.dataclass
class Report:
    """What was written and how it was proven."""

    path: str
    exporter: str
    opset: int
    inputs: list
    outputs: list
    traced_batch: int
    batches: list
    seeds: list
    pictures: int
    tolerance: float
    errors: list  # of checking.Error

    @property
    def worst(self):
        return max((e.scaled for e in self.errors), default=0.0)


def export(module, example, path, *, exporter="auto", opset=None, preprocess=None, labels=None, batches=(1, 3, 4), seeds=(0, 1), images=None,
           tolerance=checking.TOLERANCE, names=None, dtype=None, reference=True, binary=None, source=None, say=None):
    """Writes `path` (ONNX, dynamic batch) and proves it; gives a Report or raises ExportError, and then leaves no file.

    module: in eval mode. example: a tensor [B, …] or a tuple of them. preprocess: a dict (docs/export.md); labels: names of the
    classes. Both go into the ONNX metadata and from there into the engine. batches: sizes that are compared, the traced one is left
    out of them. images: a folder or files, compared as well (needs preprocess). tolerance: of an output's largest magnitude.
    names: of the outputs. dtype=torch.float32 widens a half-precision module. reference=False leaves Vitrail's own backend out;
    binary: the vitrail program. say: called with each line of progress (default: stderr).
    """
    say = say or (lambda line: print(line, file=sys.stderr))
    if exporter not in ("auto", *EXPORTERS):
        raise ExportError(f"exporter '{exporter}' is not known; there are auto, {', '.join(EXPORTERS)}", BAD_USAGE)
    path = pathlib.Path(path)
    if not path.parent.is_dir():
        raise ExportError(f"{path}: the folder {path.parent} does not exist", BAD_USAGE)
    if reference:  # better now than when the export has been made
        binary = checking.find_binary(binary)
    check_mode(module)
    inputs = example_inputs(example)
    if dtype is not None:
        module = copy.deepcopy(module).to(dtype)
        inputs = tuple(t.to(dtype) if t.is_floating_point() else t for t in inputs)
    check_precision(module, inputs)
    traced = inputs[0].shape[0]
    batches = [b for b in dict.fromkeys(batches) if b != traced]
    if not batches or min(batches) < 1:
        raise ExportError(f"batches {list(batches)}: at least one other than the traced {traced} is compared, none below 1", BAD_USAGE)

    in_names, flat = input_names(module, len(inputs)), Flat(module)
    events, output = check_forward(module, inputs)
    check_batches(flat, inputs, batches)
    found = [name for name, _ in flatten(output)]
    # Layers keep the names that they have in the module where its outputs are plain already.
    plain = isinstance(output, torch.Tensor) or (type(output) is tuple and all(isinstance(t, torch.Tensor) for t in output))
    if not found:
        raise ExportError(f"the module gives {type(output).__name__}, which holds no tensor")
    out_names = list(names) if names else found
    if len(out_names) != len(found):
        raise ExportError(f"{len(out_names)} names for {len(found)} outputs ({', '.join(found)})", BAD_USAGE)
    out_names = [n + ".out" if n in in_names else n for n in out_names]

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".vitrail_export") as folder:
        draft = pathlib.Path(folder) / path.name
        used, number, warned = export_with(exporter, module if plain else flat, inputs, in_names, out_names, str(draft), opset, events, say)
        report = Report(str(path), used, number, in_names, out_names, traced, batches, list(seeds), 0, tolerance, [])
        say(f"exported by the {used} exporter, opset {number}; checking")
        report.outputs = checking.check_file(draft, out_names)
        write_metadata(draft, preprocess, labels, {"source": source or type(module).__name__, "exporter": used, "opset": number,
                                                   "torch": torch.__version__.split("+")[0]})
        prove(flat, inputs, draft, pathlib.Path(folder), report, warned, preprocess, images, reference, binary)
        say(checking.table(report.errors, tolerance))
        bad = [e for e in report.errors if not e.scaled <= tolerance]
        if bad:
            e = max(bad, key=lambda e: e.scaled)
            raise ExportError(f"output '{e.output}' differs from PyTorch by {e.absolute:.3g}, {e.scaled:.3g} of its largest magnitude ({e.engine}, "
                              f"{e.inputs}); {tolerance:g} is allowed (--tolerance). {checking.suspects(events, warned)}", CHECK_FAILED)
        for name in (path.name + ".data", path.name):  # the weights of a large model stand beside it
            if (pathlib.Path(folder) / name).exists():
                os.replace(pathlib.Path(folder) / name, path.parent / name)
    return report


def prove(flat, example, draft, folder, report, warned, preprocess, images, reference, binary):
    """Fills report.errors: every batch and seed, and the pictures."""
    engines = [checking.OnnxRuntime(draft)]
    if reference:
        engines.append(checking.Vitrail(draft, folder, max(*report.batches, 8), report.outputs, binary))
    cases = [(f"batch {b}, seed {s}", random_inputs(example, b, s)) for b in report.batches for s in report.seeds]
    for label, inputs in cases:
        compare_with_torch(flat, inputs, label, engines, report, warned)
    if images is None:
        return
    if not preprocess:
        raise ExportError("--images needs to know the preprocessing: give --preprocess FILE.json", BAD_USAGE)
    files = picture_files(images)
    report.pictures = len(files)
    for i in range(0, len(files), 4):
        part = files[i : i + 4]
        pixels = torch.stack([torch.from_numpy(preprocessing.prepare(f, preprocess)) for f in part])
        label = f"{pathlib.Path(part[0]).name}{f' and {len(part) - 1} more' if len(part) > 1 else ''}"
        compare_with_torch(flat, (pixels,), label, engines[:1], report, warned)
        if reference:  # from the files: Vitrail's own decoding and preparing is part of what is proven
            wanted = torch_outputs(flat, (pixels,), report.outputs)
            report.errors += checking.compare("Vitrail", label, engines[1].run_pictures(part), wanted)


def compare_with_torch(flat, inputs, label, engines, report, warned):
    wanted = torch_outputs(flat, inputs, report.outputs)
    arrays = {name: t.numpy() for name, t in zip(report.inputs, inputs)}
    for engine in engines:
        got = checking.run_engine(engine, arrays, label, warned)
        report.errors += checking.compare(engine.name, label, got, wanted, warned)


def torch_outputs(flat, inputs, names):
    with torch.no_grad():
        return {name: t.detach().numpy() for name, t in zip(names, flat(*inputs))}


def picture_files(images, most=8):
    """At most so many pictures of a folder, evenly spread, or the files as given."""
    if isinstance(images, (list, tuple)):
        return [str(f) for f in images]
    if pathlib.Path(images).is_file():
        return [str(images)]
    kinds = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm"}
    files = sorted(str(f) for f in pathlib.Path(images).rglob("*") if f.suffix.lower() in kinds)
    if not files:
        raise ExportError(f"{images}: there is no picture", BAD_USAGE)
    return [files[i * len(files) // min(most, len(files))] for i in range(min(most, len(files)))]


def write_metadata(path, preprocess, labels, how):
    """Into the model's metadata_props: what `vitrail build` reads, and how the model was made."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    entries = {"vitrail.export": json.dumps(how)}
    if preprocess:
        entries["vitrail.preprocess"] = json.dumps(preprocess)
    if labels:
        entries["vitrail.labels"] = json.dumps(list(labels), ensure_ascii=False)
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))
