# SPDX-License-Identifier: Apache-2.0
"""Bad input gets a clear error, the right exit status, and nothing is lost."""
import json
import os
import signal
import subprocess
import time

import numpy
import pytest
from conftest import BINARY


def message(vitrail, *arguments, expect):
    error = vitrail(*arguments, expect=expect).stderr
    assert "error" in error.lower() and "terminate called" not in error
    return error


def test_usage(vitrail, engine, tiny, tmp_path):
    vitrail("nonsense", expect=2)
    vitrail("build", tiny, expect=2)
    vitrail("bench", engine, "--threads", 0, expect=2)
    vitrail("build", tiny, "-o", tmp_path / "e", "--threads", "-3", expect=2)
    message(vitrail, "build", tiny, "-o", tmp_path / "e", "--profile", "8:1:4", expect=2)
    message(vitrail, "build", tiny, "-o", tmp_path / "e", "--profile", "many", expect=2)
    message(vitrail, "build", tiny, "-o", tmp_path / "e", "--workspace", "lots", expect=2)
    message(vitrail, "verify", engine, "--reference", tiny, expect=2)
    assert "cpu" in message(vitrail, "build", tiny, "-o", tmp_path / "e", "--backend", "abacus", expect=2)
    message(vitrail, "build", tiny, "-o", tmp_path / "e", "--precision", "fp8", expect=4)
    message(vitrail, "bench", engine, "--isa", "mmx", expect=2)


def test_broken_models(vitrail, tiny, tmp_path):
    data = tiny.read_bytes()
    broken = tmp_path / "broken.onnx"
    for content in (b"", b"not a model", data[: len(data) // 2], os.urandom(4096)):
        broken.write_bytes(content)
        assert "broken.onnx" in message(vitrail, "build", broken, "-o", tmp_path / "e.vtl", expect=3)
    message(vitrail, "build", tmp_path / "absent.onnx", "-o", tmp_path / "e.vtl", expect=3)
    message(vitrail, "inspect", tmp_path, expect=3)
    assert not (tmp_path / "e.vtl").exists()


def test_unknown_operator_is_named(vitrail, tmp_path):
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("Frobnicate", ["x"], ["y"], name="the_layer", domain="")
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    error = message(vitrail, "build", tmp_path / "m.onnx", "-o", tmp_path / "e.vtl", expect=3)
    assert all(word in error for word in ("Frobnicate", "the_layer", "17"))


def test_nonfinite_weights_are_warned_of_and_counted(vitrail, tiny, tmp_path):
    import onnx
    from onnx import numpy_helper

    model = onnx.load(tiny)
    weight = next(t for t in model.graph.initializer if len(t.dims) == 2)
    values = numpy_helper.to_array(weight).copy()
    values.flat[:3] = [numpy.nan, numpy.inf, -numpy.inf]
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, tmp_path / "nan.onnx")
    error = vitrail("build", tmp_path / "nan.onnx", "-o", tmp_path / "e.vtl").stderr
    assert "warning" in error and "3" in error and weight.name in error


def test_wrong_tensors(vitrail, engine, tmp_path):
    x = tmp_path / "x.npy"
    good = numpy.zeros((1, 3, 32, 32), numpy.float32)
    for name, value, words in [("inpt", good, ["inpt", "input"]), ("input", good[:, :2], ["32", "3"]),
                               ("input", good.astype(numpy.float64), ["float64", "float32"])]:
        numpy.save(x, value)
        error = message(vitrail, "run", engine, "--input", f"{name}={x}", expect=3)
        assert all(w in error for w in words), error
    good[0, 1, 2, 3] = numpy.nan
    numpy.save(x, good)
    assert "NaN" in message(vitrail, "run", engine, "--input", f"input={x}", expect=3)


def test_broken_images_are_named(vitrail, engine, pictures, tmp_path):
    from PIL import Image

    whole = (pictures / "class1/picture.jpg").read_bytes()
    cut, fake, dot = tmp_path / "cut.jpg", tmp_path / "fake.png", tmp_path / "dot.png"
    cut.write_bytes(whole[: len(whole) // 2])
    fake.write_text("I am no image")
    Image.new("RGB", (1, 1)).save(dot)
    for path in (cut, fake, dot):
        assert path.name in message(vitrail, "run", engine, "--image", path, expect=3)
    empty = tmp_path / "empty"
    empty.mkdir()
    message(vitrail, "run", engine, "--image", empty, expect=3)


def test_damaged_engines(vitrail, engine, tmp_path):
    data = bytearray(engine.read_bytes())
    damaged = tmp_path / "damaged.vtl"
    for at in (0, 9, 100, len(data) // 2, len(data) - 1):
        copy = bytearray(data)
        copy[at] ^= 1
        damaged.write_bytes(copy)
        message(vitrail, "explain", damaged, expect=3)
    damaged.write_bytes(data[:-1])
    message(vitrail, "bench", damaged, expect=3)
    damaged.write_bytes(b"")
    message(vitrail, "run", damaged, "--image", "x.png", expect=3)


def test_full_disk_and_read_only_folder_keep_the_old_engine(vitrail, tiny, tmp_path):
    engine = tmp_path / "e.vtl"
    vitrail("build", tiny, "-o", engine)
    before = engine.read_bytes()
    limited = subprocess.run(["bash", "-c", f"ulimit -f 64; exec '{BINARY}' build '{tiny}' -o '{engine}'"], capture_output=True, text=True)
    assert limited.returncode == 3 and "e.vtl" in limited.stderr
    assert engine.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["e.vtl"]
    message(vitrail, "build", tiny, "-o", "/proc/e.vtl", expect=3)
    message(vitrail, "build", tiny, "-o", tmp_path / "no/such/folder/e.vtl", expect=3)


def test_interrupt_keeps_what_was_measured(engine, tmp_path):
    out = tmp_path / "bench.json"
    process = subprocess.Popen([BINARY, "bench", engine, "--batch", "1,2", "--iterations", "30000000", "--json", out],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    report = json.loads(out.read_text())
    assert report["results"][0]["iterations"] > 0


def test_interrupt_during_a_build_leaves_nothing(shared_model, tmp_path):
    process = subprocess.Popen([BINARY, "build", shared_model, "-o", tmp_path / "e.vtl"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline().startswith("import")  # under way
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["{", '{"height": -1}', '{"colour": "RGB"}', '{"std": [0, 1, 1]}'])
def test_bad_contracts_name_the_key(vitrail, tiny, tmp_path, text):
    path = tmp_path / "contract.json"
    path.write_text(text)
    assert "contract.json" in message(vitrail, "build", tiny, "-o", tmp_path / "e.vtl", "--preprocess", path, expect=3)
