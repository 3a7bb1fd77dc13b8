# SPDX-License-Identifier: Apache-2.0
"""Small files that claim 10^15 elements: an error at once, with little memory."""
import json
import os
import resource
import struct
import time

import numpy
import pytest
from conftest import SANITIZER

HUGE = 10**15


def small_memory():
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


# A sanitizer maps more addresses than there is memory, and limits what is resident itself.
LIMIT = {"preexec_fn": small_memory}
if SANITIZER:
    LIMIT = {"env": os.environ | {name: os.environ.get(name, "") + ":hard_rss_limit_mb=4096" for name in ("ASAN_OPTIONS", "TSAN_OPTIONS")}}


def refused(vitrail, *arguments, expect=3):
    start = time.monotonic()
    error = vitrail(*arguments, expect=expect, **LIMIT).stderr
    assert time.monotonic() - start < 20
    assert "error" in error.lower() and "terminate called" not in error
    return error


def onnx_model(path, nodes, weights, claims=()):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(numpy.array(value), name) for name, value in weights.items()])
    for name, dims in claims:
        graph.initializer.append(TensorProto(name=name, dims=dims, data_type=TensorProto.FLOAT))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def cases():
    from onnx import helper

    node = helper.make_node
    add = node("Add", ["x", "big"], ["y"])
    huge = numpy.array([HUGE], "i8")
    return {
        "initializer": ([add], {}, [("big", [HUGE])]),
        "product": ([add], {}, [("big", [10**5, 10**5, 10**5])]),
        "overflow": ([add], {}, [("big", [2**32, 2**32])]),
        "ConstantOfShape": ([node("ConstantOfShape", ["s"], ["big"]), add], {"s": huge}, []),
        "Expand": ([node("Expand", ["one", "s"], ["big"]), add], {"s": huge, "one": numpy.ones(1, "f4")}, []),
        "Tile": ([node("Tile", ["one", "s"], ["big"]), add], {"s": huge, "one": numpy.ones(1, "f4")}, []),
        "Pad": ([node("Pad", ["one", "s"], ["big"]), add],
                {"s": numpy.array([0, HUGE], "i8"), "one": numpy.ones(1, "f4")}, []),
        "Range": ([node("Range", ["a", "b", "c"], ["big"]), add],
                  {"a": numpy.float32(0), "b": numpy.float32(HUGE), "c": numpy.float32(1)}, []),
        "Resize": ([node("Resize", ["image", "", "f"], ["big"]), add],
                   {"image": numpy.ones((1, 1, 2, 2), "f4"), "f": numpy.array([1, 1, 1e7, 1e7], "f4")}, []),
        "Expand of the input": ([node("Expand", ["x", "s"], ["y"])], {"s": numpy.array([HUGE, 1, 4], "i8")}, []),
    }


@pytest.mark.parametrize("name", ["initializer", "product", "overflow", "ConstantOfShape", "Expand", "Tile", "Pad", "Range",
                                  "Resize", "Expand of the input"])
def test_onnx(vitrail, tmp_path, name):
    path = onnx_model(tmp_path / "model.onnx", *cases()[name])
    assert path.stat().st_size < 1000
    refused(vitrail, "build", path, "-o", tmp_path / "e.vtl")
    assert not (tmp_path / "e.vtl").exists()


def test_safetensors(vitrail, tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    (tmp_path / "config.json").write_text("{}")
    assert "cut off" in refused(vitrail, "build", tmp_path, "-o", tmp_path / "e.vtl")


def test_arrays_and_pictures(vitrail, engine, tmp_path):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({HUGE},)}}".encode()
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header)
    refused(vitrail, "run", engine, "--input", f"input={tmp_path / 'a.npy'}")
    for name, content in {"a.ppm": b"P6 31622776 31622776 255\n", "b.pgm": b"P5 1000000 1000000 255\n",
                          "c.bmp": struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 31622776, 31622776, 1, 24,
                                               0, 0, 0, 0, 0, 0)}.items():
        (tmp_path / name).write_bytes(content)
        assert name in refused(vitrail, "run", engine, "--image", tmp_path / name)
