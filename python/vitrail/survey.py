# SPDX-License-Identifier: Apache-2.0
"""One forward pass, watched: which operators ran, in which submodule, at which line of the model's code."""
import dataclasses
import os
import pathlib
import sys

import torch
from torch.utils._python_dispatch import TorchDispatchMode

TORCH = str(pathlib.Path(torch.__file__).parent) + os.sep
HERE = str(pathlib.Path(__file__).parent) + os.sep


@dataclasses.dataclass(frozen=True)
class Event:
    operator: str  # "aten::native_dropout"
    path: str  # "blocks.0.attn"; empty for the module itself
    kind: str  # class of that submodule
    line: str  # "file.py:12"
    arguments: tuple = ()  # those that are numbers, bools and strings
    shape: tuple = ()  # of the first tensor

    def where(self):
        place = f"'{self.path}' ({self.kind})" if self.path else f"the module itself ({self.kind})"
        return f"{place}, {self.line}" if self.line else place


def is_of_the_model(file):
    """Neither torch's nor ours."""
    return not file.startswith((TORCH, HERE, "<"))


def model_line():
    """The innermost line on the stack that is neither torch's nor ours."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if is_of_the_model(file):
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


class Watch(TorchDispatchMode):
    def __init__(self, module):
        super().__init__()
        self.events = []
        self.stack = [("", type(module).__name__)]

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        path, kind = self.stack[-1]
        plain = tuple(a for a in (*args, *(kwargs or {}).values()) if isinstance(a, (int, float, bool, str)))
        shape = next((tuple(a.shape) for a in args if isinstance(a, torch.Tensor)), ())
        self.events.append(Event(function._schema.name, path, kind, model_line(), plain, shape))
        return function(*args, **(kwargs or {}))


def survey(module, inputs):
    """(events, output) of module(*inputs)."""
    watch, handles = Watch(module), []
    for path, child in module.named_modules():
        if not path:
            continue

        def enter(child, _, path=path):
            watch.stack.append((path, type(child).__name__))

        handles.append(child.register_forward_pre_hook(enter))
        handles.append(child.register_forward_hook(lambda *_: watch.stack.pop() and None, always_call=True))
    try:
        with torch.no_grad(), watch:
            return watch.events, module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
