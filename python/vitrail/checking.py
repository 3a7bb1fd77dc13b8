# SPDX-License-Identifier: Apache-2.0
"""The proof: PyTorch's outputs against those of ONNX Runtime and of Vitrail's reference backend."""
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np

from vitrail.errors import CHECK_FAILED, UNAVAILABLE, ExportError, first_line

TOLERANCE = 1e-4  # of an output's largest magnitude; float32 through other kernels and another order of sums


@dataclasses.dataclass
class Error:
    engine: str  # "ONNX Runtime", "Vitrail"
    inputs: str  # "batch 3, seed 1"
    output: str
    shape: tuple
    absolute: float
    scaled: float  # absolute / max(largest magnitude of PyTorch's output, 1e-3)


class OnnxRuntime:
    name = "ONNX Runtime"

    def __init__(self, path):
        try:
            import onnxruntime
        except ImportError as error:
            raise ExportError("the check needs onnxruntime: python3 -m pip install onnxruntime", UNAVAILABLE) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own exception types
            raise ExportError(f"ONNX Runtime does not load the exported model: {first_line(error)}") from error

    def __call__(self, inputs):
        return dict(zip((o.name for o in self.session.get_outputs()), self.session.run(None, inputs)))


class Vitrail:
    """The binary's reference backend: an engine once, then one process for each set of inputs."""

    name = "Vitrail"

    def __init__(self, path, folder, largest_batch, outputs, binary=None):
        self.binary, self.folder, self.outputs = find_binary(binary), pathlib.Path(folder), outputs
        self.engine = self.folder / "reference.vtl"
        self.call("build", path, "-o", self.engine, "--backend", "reference", "--profile", f"1:1:{largest_batch}", "--workspace", "64GiB", "--json")

    def call(self, *arguments):
        done = subprocess.run([self.binary, *map(str, arguments)], capture_output=True, text=True, errors="replace")
        if done.returncode:
            reason = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("warning"))
            raise ExportError(f"Vitrail's reference backend cannot {arguments[0]} the exported model: "
                              f"{reason.strip() or f'exit status {done.returncode}'}", CHECK_FAILED)

    def run(self, flags):
        files = {name: self.folder / f"output{i}.npy" for i, name in enumerate(self.outputs)}
        flags = [*flags, *(word for name, file in files.items() for word in ("--output", f"{name}={file}"))]
        self.call("run", self.engine, *flags, "--json")
        return {name: np.load(file) for name, file in files.items()}

    def __call__(self, inputs):
        flags = []
        for i, (name, array) in enumerate(inputs.items()):
            np.save(self.folder / f"input{i}.npy", array)
            flags += ["--input", f"{name}={self.folder / f'input{i}.npy'}"]
        return self.run(flags)

    def run_pictures(self, files):
        """From the files: decoding and preparing are Vitrail's, by what travels in the model."""
        return self.run([word for file in files for word in ("--image", file)])


def find_binary(given=None):
    here = pathlib.Path(__file__).absolute().parents  # PREFIX/share/vitrail/python/vitrail/checking.py
    beside = here[4] / "bin" / "vitrail" if here[1].parent.name == "vitrail" else None
    candidates = [given, os.environ.get("VTL_BINARY"), beside, shutil.which("vitrail")]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return str(candidate)
    raise ExportError("the check needs the program vitrail: put it on the PATH or name it in VTL_BINARY (vitrail export does so), or leave "
                      "that half of the proof out with --no-reference (reference=False)", UNAVAILABLE)


def compare(engine, inputs, got, wanted, warned=()):
    """[Error] of each output; ExportError where shape, type or the places of NaN differ."""
    errors = []
    for name, want in wanted.items():
        have, what = got[name], f"{engine}, {inputs}: output '{name}'"
        if have.shape != want.shape:
            raise ExportError(f"{what} is {list(have.shape)}, PyTorch's {list(want.shape)}: a size is fixed inside the graph{because(warned)}",
                              CHECK_FAILED)
        if have.dtype != want.dtype:
            raise ExportError(f"{what} is {have.dtype}, PyTorch's {want.dtype}", CHECK_FAILED)
        here, there = have.astype(np.float64), want.astype(np.float64)
        finite = np.isfinite(there)
        if not np.array_equal(here[~finite], there[~finite], equal_nan=True) or not np.isfinite(here[finite]).all():
            raise ExportError(f"{what} has infinities or NaN at other places than PyTorch's", CHECK_FAILED)
        if want.size and not finite.any():
            raise ExportError(f"{inputs}: PyTorch's own output '{name}' has no finite number: there is nothing to compare. Are the weights whole?",
                              CHECK_FAILED)
        absolute = float(np.abs(here[finite] - there[finite]).max(initial=0))
        largest = float(np.abs(there[finite]).max(initial=0))
        exact = not np.issubdtype(want.dtype, np.floating)  # integers and bools
        errors.append(Error(engine, inputs, name, want.shape, absolute, absolute if exact else absolute / max(largest, 1e-3)))
    return errors


def check_file(path, wanted):
    """Runs ONNX's own checker and gives the names of the outputs, one for each wanted."""
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # onnx.checker.ValidationError and shape inference's own
        raise ExportError(f"the ONNX checker refuses the exported model: {first_line(error)}. Another opset or exporter may help", CHECK_FAILED) from error
    names = [o.name for o in onnx.load(str(path), load_external_data=False).graph.output]
    if len(names) != len(wanted) or len(set(names)) != len(names):
        raise ExportError(f"the exporter made the outputs {', '.join(names)} of {', '.join(wanted)}: return each tensor once", CHECK_FAILED)
    return names


def because(warned):
    if not warned:
        return ": the model's code has a number where x.shape[0] belongs"
    return (": PyTorch took these for constants while tracing\n  " + "\n  ".join(warned[:5])
            + "\nCompute with x.shape[0], and do not turn it into a Python number")


def suspects(events, warned):
    """What may explain wrong numbers: constants taken while tracing, and operators that exporters are known to restate loosely."""
    from vitrail.diagnose import KNOWN

    found = [f"{e.operator} in {e.where()} {KNOWN[k][0]}: {KNOWN[k][1]}" for e in events for k in KNOWN if k in e.operator and "attention" not in k]
    lines = [*(["PyTorch took for constants while tracing: " + "; ".join(warned[:3])] if warned else []), *dict.fromkeys(found[:2])]
    return ". ".join(lines) or "Another exporter or opset (--exporter, --opset) may restate it better"


def run_engine(engine, inputs, label, warned):
    """The engine's outputs; its failure at another batch than the traced one is specialisation."""
    try:
        return engine(inputs)
    except ExportError:
        raise
    except Exception as error:  # onnxruntime's own types
        node = re.search(r"[Nn]ame:\s?'([^']+)'", str(error))
        raise ExportError(f"{engine.name}, {label}: fails{f' in layer {node[1]}' if node else ''}: {first_line(error)}\n"
                          f"It ran at the traced batch only: the batch is fixed inside the graph{because(warned)}", CHECK_FAILED) from error


def table(errors, limit):
    """One line an output and engine: the largest errors over all inputs."""
    rows = {}
    for e in errors:
        key = (e.output, e.engine)
        if key not in rows or e.scaled >= rows[key].scaled:
            rows[key] = e
    width = max([6, *(len(e.output) for e in rows.values())])
    lines = [f"{'output':<{width}}  {'against':<12}  {'max abs':>8}  {'of max':>8}  worst at"]
    for e in rows.values():
        verdict = "" if e.scaled <= limit else f"   ABOVE {limit:.0e}"
        lines.append(f"{e.output:<{width}}  {e.engine:<12}  {e.absolute:8.2e}  {e.scaled:8.2e}  {e.inputs}{verdict}")
    return "\n".join(lines)
