# SPDX-License-Identifier: Apache-2.0
"""PyTorch's two exporters behind one call: TorchDynamo's first, TorchScript's when that fails."""
import contextlib
import logging
import os
import re
import sys
import tempfile
import warnings

import torch

from vitrail.diagnose import chain, explain_failure
from vitrail.errors import BAD_USAGE, ExportError
from vitrail.interface import Flat, flatten

DEFAULT_OPSETS = {"dynamo": 20, "torchscript": 17}
OPSETS = {"dynamo": range(18, 24), "torchscript": range(11, 21)}
LARGEST_BATCH = 1024  # what the symbolic batch ranges over; nothing in the graph depends on it


def dynamo(module, inputs, in_names, out_names, path, opset):
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    shapes = tuple({0: batch} for _ in inputs)
    if isinstance(module, Flat):  # forward(*inputs): one entry for the variadic parameter
        shapes = (shapes,)
    torch.onnx.export(module, inputs, path, dynamo=True, opset_version=opset, input_names=in_names, output_names=out_names,
                      dynamic_shapes=shapes, external_data=_is_large(module), verbose=False)


def torchscript(module, inputs, in_names, out_names, path, opset):
    axes = {name: {0: "batch"} for name in [*in_names, *_with_batch(module, inputs, out_names)]}
    torch.onnx.export(module, inputs, path, dynamo=False, opset_version=opset, input_names=in_names, output_names=out_names,
                      dynamic_axes=axes, verbose=False)


EXPORTERS = {"dynamo": dynamo, "torchscript": torchscript}


def export_with(chosen, module, inputs, in_names, out_names, path, opset, events, say):
    """Writes path by the chosen exporter (auto: both in turn) and gives its name, opset and what PyTorch warned of the batch."""
    names = list(EXPORTERS) if chosen == "auto" else [chosen]
    if opset is not None and chosen == "auto":
        names = [n for n in names if opset in OPSETS[n]]
    if not names or (opset is not None and opset not in OPSETS[names[0]]):
        known = ", ".join(f"{n} {r.start} to {r.stop - 1}" for n, r in OPSETS.items())
        raise ExportError(f"no exporter writes opset {opset}; there are: {known}", BAD_USAGE)
    errors, noted = {}, []
    for name in names:
        number = opset or DEFAULT_OPSETS[name]
        for plain in (False, True):
            try:
                with quiet() as heard, plain_attention() if plain else contextlib.nullcontext():
                    EXPORTERS[name](module, inputs, in_names, out_names, path, number)
                noted += tracer_warnings(heard)
                check_batch(path)
                return name, number, noted
            except Exception as error:  # exporters raise anything
                errors[name] = error
                noted += tracer_warnings(heard)
                if plain or not about_attention(error):
                    break
                say(f"the {name} exporter does not take this form of fused attention; writing it as products and a softmax")
        if name != names[-1]:
            why = str(errors[name]) if isinstance(errors[name], ExportError) else type(errors[name]).__name__
            say(f"the {name} exporter failed ({why}); trying {names[names.index(name) + 1]}")
    raise explain_failure(errors, events, noted or traced_constants(module, inputs))


def check_batch(path):
    """Refuses a graph whose inputs fix the batch, which dynamo does silently; what is fixed further inside shows at other batches."""
    import onnx

    for value in onnx.load(path, load_external_data=False).graph.input:
        dims = value.type.tensor_type.shape.dim
        if not dims or not dims[0].dim_param:
            raise ExportError(f"it fixed the batch of input '{value.name}' at {dims[0].dim_value if dims else 'nothing'}")


def traced_constants(module, inputs):
    """The lines of the model that turn sizes into Python numbers, found by tracing."""
    try:
        with quiet() as heard:
            torch.jit.trace(module, inputs, check_trace=False)
    except Exception:  # the reason is told already
        pass
    return tracer_warnings(heard)


@contextlib.contextmanager
def plain_attention():
    """F.scaled_dot_product_attention as its documentation writes it, out of operators that every exporter has."""
    def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
        if enable_gqa:
            key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
            value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
        scores = (query * (query.size(-1) ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
        if is_causal:
            attn_mask = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(attn_mask.logical_not(), float("-inf"))
        elif attn_mask is not None:
            scores = scores + attn_mask
        return scores.softmax(-1) @ value

    functional = torch.nn.functional
    fused, functional.scaled_dot_product_attention = functional.scaled_dot_product_attention, attention
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = fused


def about_attention(error):
    """Whether fused attention is what an exporter stumbled over; its translation asserts and views without naming itself."""
    texts = [str(e) for e in chain(error)]
    return any(part in text for text in texts for part in ("scaled_dot_product", "4D query, key", "Cannot view a tensor with shape"))


@contextlib.contextmanager
def quiet():
    """Keeps the exporters' chatter off the terminal, that of C++ too; yields the list of warnings."""
    loggers = [logging.getLogger(n) for n in ("torch.onnx", "torch.export", "torch._dynamo", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    try:
        with warnings.catch_warnings(record=True) as heard, tempfile.TemporaryFile() as sink:
            warnings.simplefilter("always")
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield heard
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in enumerate(kept, 1):
            os.dup2(copy, number)
            os.close(copy)
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def tracer_warnings(heard):
    """Lines of the model whose values TorchScript took for constants."""
    lines = []
    for w in heard:
        if issubclass(w.category, torch.jit.TracerWarning):
            what = re.sub(r"\s+", " ", str(w.message)).split(". ")[0]
            lines.append(f"{w.filename}:{w.lineno}: {what}")
    return list(dict.fromkeys(lines))


def _is_large(module):
    """Protobuf's limit is 2 GiB; beyond 1.5 GiB of weights they go beside the model."""
    return sum(t.numel() * t.element_size() for t in [*module.parameters(), *module.buffers()]) > 1.5 * 2**30


def _with_batch(module, inputs, out_names):
    with torch.no_grad():
        outputs = flatten(module(*inputs))
    return [n for n, (_, t) in zip(out_names, outputs) if t.dim() and t.shape[0] == inputs[0].shape[0]]
