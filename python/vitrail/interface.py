# SPDX-License-Identifier: Apache-2.0
"""A module seen as an ONNX graph is: named tensors in, named tensors out, the batch in front of each."""
import collections.abc
import inspect

import torch

from vitrail.errors import BAD_USAGE, ExportError


def flatten(value, name="output"):
    """[(name, tensor)] of a tensor, or of tuples, lists and mappings of such (Hugging Face's ModelOutput is one); None is left out."""
    if isinstance(value, torch.Tensor):
        return [(name, value)]
    prefix = "" if name == "output" else name + "."
    if isinstance(value, collections.abc.Mapping):
        return [pair for key, item in value.items() for pair in flatten(item, f"{prefix}{key}")]
    if isinstance(value, (tuple, list)):
        return [pair for i, item in enumerate(value) for pair in flatten(item, f"{name}.{i}")]
    if value is None or not hasattr(value, "__dataclass_fields__"):
        return []
    return [pair for field in value.__dataclass_fields__ for pair in flatten(getattr(value, field), f"{prefix}{field}")]


class Flat(torch.nn.Module):
    """The module with a tuple of tensors as its output, in the order of `flatten`."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        self.train(module.training)

    def forward(self, *inputs):
        return tuple(tensor for _, tensor in flatten(self.module(*inputs)))


def example_inputs(example):
    """The example as a tuple of tensors with one batch extent, at least 2: an exporter takes a 1 for a constant.

    A trailing example of batch 1 is doubled.
    """
    inputs = tuple(example) if isinstance(example, (tuple, list)) else (example,)
    for i, tensor in enumerate(inputs):
        if not isinstance(tensor, torch.Tensor) or tensor.dim() == 0:
            raise ExportError(f"example input {i} is {type(tensor).__name__}; each must be a tensor with the batch in front. Bind what is "
                              "no tensor with functools.partial or a small module around yours", BAD_USAGE)
    batches = sorted({tensor.shape[0] for tensor in inputs})
    if len(batches) != 1 or batches[0] == 0:
        raise ExportError(f"the example inputs have the shapes {[list(t.shape) for t in inputs]}; all must have one batch in front", BAD_USAGE)
    if batches[0] == 1:
        inputs = tuple(torch.cat([t, t]) for t in inputs)
    return tuple(t.detach() for t in inputs)


def input_names(module, count):
    """Of the parameters of forward(); one input called x is `input`, as most exported models have it."""
    try:
        parameters = [p.name for p in inspect.signature(module.forward).parameters.values()
                      if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    except (TypeError, ValueError):
        parameters = []
    if len(parameters) < count:
        parameters = [f"input.{i}" for i in range(count)]
    return ["input"] if count == 1 and parameters[:1] in (["x"], ["input.0"], ["input"]) else parameters[:count]


def random_inputs(example, batch, seed):
    """Inputs like the example's of another batch: normal numbers where it has floats, else rows of the example in another order."""
    generator = torch.Generator().manual_seed(seed)
    inputs = []
    for tensor in example:
        if tensor.is_floating_point():
            inputs.append(torch.randn((batch, *tensor.shape[1:]), generator=generator).to(tensor.dtype))
        else:
            inputs.append(tensor[torch.randint(tensor.shape[0], (batch,), generator=generator)])
    return tuple(inputs)
