# SPDX-License-Identifier: Apache-2.0
"""What in the model makes an export impossible or wrong, and the way out."""
import re

import torch

from vitrail.errors import ExportError, first_line
from vitrail.interface import random_inputs
from vitrail.survey import is_of_the_model, survey

RANDOM = re.compile(r"aten::(native_dropout|bernoulli|rand|randn|normal|uniform|multinomial|randperm|randint|rrelu|exponential)(_like|_)?$")

# Operators that exporters stumble over, by what they are called in PyTorch: what it is, and the way out.
KNOWN = {
    "_upsample_bicubic2d_aa": (
        "resizes with bicubic interpolation and antialias (a position embedding, mostly), which ONNX has from opset 18 on",
        "build the model for its size, so that nothing is resized at run time (--img-size; img_size= in timm, image_size= in Hugging Face, "
        "interpolate_pos_encoding=False), or resize with antialias=False"),
    "_upsample_bilinear2d_aa": (
        "resizes with bilinear interpolation and antialias, which ONNX has from opset 18 on",
        "build the model for its size (--img-size), or resize with antialias=False"),
    "grid_sampler_2d": ("samples at computed places", "export with --opset 20"),
    "scaled_dot_product_attention": (
        "calls a fused attention in a form that this exporter lacks (a mask of bools, is_causal, grouped heads, dropout)",
        "use the plain one: timm.layers.set_fused_attn(False), or attn_implementation=\"eager\" in Hugging Face"),
}


def check_mode(module):
    """Every submodule must be in eval mode."""
    training = [(path or "the module itself", type(m).__name__) for path, m in module.named_modules() if m.training]
    if not training:
        return
    matters = [t for t in training if re.search("Drop|BatchNorm|InstanceNorm|RReLU", t[1])] or training
    listed = ", ".join(f"'{path}' ({kind})" for path, kind in matters[:4])
    raise ExportError(f"{len(training)} submodules are in training mode, among them {listed}: dropout would be random and BatchNorm would use "
                      "the batch. Call module.eval() first")


def check_precision(module, inputs):
    """Half-precision weights on a CPU are refused: PyTorch lacks kernels for them there, and has others than a GPU."""
    half = [(name, t) for name, t in [*module.named_parameters(), *module.named_buffers()] if t.dtype in (torch.float16, torch.bfloat16)]
    if half:
        name, tensor = half[0]
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ExportError(f"{len(half)} tensors of the module are in {kind} (the first is '{name}'), which PyTorch does not compute on a CPU as "
                          "it does on a GPU. module.float() (or dtype=torch.float32 here) widens them exactly; `vitrail build --precision "
                          f"{'fp16' if kind == 'float16' else 'bf16'}` gives the half-precision engine")
    wrong = [i for i, t in enumerate(inputs) if t.dtype in (torch.float16, torch.bfloat16)]
    if wrong:
        raise ExportError(f"example input {wrong[0]} is in {inputs[wrong[0]].dtype}, but the module in float32: give a float32 example")


def check_forward(module, inputs):
    """Runs the module once and gives its output and the events of the run; names what is random or depends on the batch."""
    try:
        events, output = survey(module, inputs)
    except Exception as error:  # the model's own code: anything may come
        raise ExportError(f"the module fails on the example {[list(t.shape) for t in inputs]}: {type(error).__name__}: {first_line(error)}"
                          f"{_deepest_line(error)}") from error
    random = [e for e in events if RANDOM.fullmatch(e.operator)]
    if random:
        e = random[0]
        name = e.operator.removeprefix("aten::")
        raise ExportError(f"the module draws random numbers although it is in eval mode: {name} in {e.where()}"
                          f"{f', and {len(random) - 1} more' if len(random) > 1 else ''}. Dropout must depend on the mode: nn.Dropout, or "
                          "F.dropout(x, p, training=self.training), and dropout_p=self.p if self.training else 0.0 for attention")
    for e in events:
        # Instance normalisation is one of a single row, [1, N · C, …].
        if e.operator == "aten::native_batch_norm" and e.arguments[:1] == (True,) and e.shape[:1] != (1,):
            raise ExportError(f"batch normalisation in {e.where()} uses the statistics of the batch: a picture's answer would depend on its "
                              "neighbours. Use training=False with running statistics")
    return events, output


def check_batches(module, inputs, batches):
    """The module itself must run at the batches that are compared."""
    for batch in batches:
        try:
            with torch.no_grad():
                module(*random_inputs(inputs, batch, 0))
        except Exception as error:  # the model's own code
            raise ExportError(f"the module runs at batch {inputs[0].shape[0]} but not at batch {batch}: {type(error).__name__}: {first_line(error)}"
                              f"{_deepest_line(error)}. Compute with x.shape[0] instead of a number") from error


def _deepest_line(error):
    frame, place = error.__traceback__, ""
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if is_of_the_model(file):
            place = f" ({file}:{frame.tb_lineno})"
        frame = frame.tb_next
    return place


def explain_failure(errors, events, warnings=()):
    """The ExportError for exporters that all failed: {exporter: exception} and the events of a forward pass."""
    lines = ["no exporter takes this module:"]
    ways = []
    for exporter, error in errors.items():
        text = "\n".join(str(e) for e in chain(error))
        operator = _unsupported_operator(text)
        if operator:
            short = re.split(r"::|\.", operator)[1]
            known = next((v for k, v in KNOWN.items() if k in short), None)
            found = next((e for e in events if short in e.operator), None)
            place = found.where() if found else "the model"
            lines.append(f"  {exporter}: has no ONNX form of {operator}{f', which {known[0]}' if known else ''}"
                         f"{f'; it is called in {place}' if found else ''}")
            if known:
                ways.append(known[1])
            elif operator.startswith(("aten", "prims")):
                ways.append(f"write what {place} calls in other operators")
            elif not operator.startswith(("aten", "prims", "torchvision")):
                ways.append(f"{operator.replace('.', '::')} is no operator of PyTorch but a custom one (a custom attention class?): switch to the model's plain "
                            "implementation (attn_implementation=\"eager\" in Hugging Face, set_fused_attn(False) in timm), or write it in "
                            "PyTorch's operators for export")
        elif isinstance(error, ExportError):
            lines.append(f"  {exporter}: {error}")
            ways.append("compute with x.shape[0] instead of a number, and do not branch on it or turn it into a Python number")
        else:
            root = chain(error)[-1]
            lines.append(f"  {exporter}: {type(root).__name__}: {first_line(root)}{_deepest_line(root)}")
            ways += [way for key, (_, way) in KNOWN.items() if key in first_line(root)]
    if warnings:
        lines += ["PyTorch took these for constants while tracing:", *(f"  {w}" for w in list(dict.fromkeys(warnings))[:5])]
    lines += ["Way out: " + "; or ".join(dict.fromkeys(ways) if ways else
                                        ["another opset (--opset 18, --opset 20), or the operators above replaced in the model"])]
    return ExportError("\n".join(lines))


def chain(error):
    """An exception and its causes, the outermost first."""
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain


def _unsupported_operator(text):
    for pattern in (r"No ONNX function found for <OpOverload\(op='([^']+)'", r"No ONNX function found for ([\w:.]+)",
                    r"Exporting the operator '([\w:]+)' to ONNX", r"Unsupported: ONNX export of operator ([\w:]+)",
                    r"unrecognized namespace ([\w:]+)"):
        if found := re.search(pattern, text):
            return found[1].replace(".default", "")
    return ""
