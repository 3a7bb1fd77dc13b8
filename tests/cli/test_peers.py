# SPDX-License-Identifier: Apache-2.0
"""benchmarks/peers_cuda.py as far as it goes without a GPU: a program in TensorRT's place, and what it is told."""
import pathlib
import sys
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import peers_cuda  # noqa: E402

SPEAKS = """
import sys
print("noise of a compiler")
print('@vitrail-peer {"runner": "tensorrt 8.5.3"}', flush=True)
for line in sys.stdin:
    times = [2.0] * int(line)
    print('@vitrail-peer {"latency": %s, "compute": %s, "loop": 1.5, "allocated": 0}' % (times, times), flush=True)
"""


@pytest.fixture
def arguments(monkeypatch, tmp_path):
    monkeypatch.setattr(peers_cuda, "smi", lambda query: [])

    def with_program(text):
        program = tmp_path / "peer.py"
        program.write_text(text)
        return types.SimpleNamespace(model=pathlib.Path("m.onnx"), timm="vit", tensorrt=[sys.executable, str(program)],
                                     tensorrt_model=pathlib.Path("vit.opset16.onnx"), cache=tmp_path)

    return with_program


def test_program_is_told_shape_precision_and_plan(arguments, tmp_path):
    args = arguments("")
    command = peers_cuda.peer_command("tensorrt-fp16", args, [8, 3, 224, 224])
    assert command == [*args.tensorrt, "vit.opset16.onnx", "--precision", "fp16", "--shape", "8", "3", "224", "224", "--plan",
                       str(tmp_path / "vit.opset16-fp16-8.plan")]
    assert "--worker" in peers_cuda.peer_command("eager-fp16", args, [8, 3, 224, 224])


def test_program_answers_bursts(arguments):
    peer = peers_cuda.Peer("tensorrt-fp16", arguments(SPEAKS), [1, 3, 224, 224])
    assert peer.label == "tensorrt 8.5.3 tensorrt-fp16" and peer.precision == "fp16"
    assert peer.burst(4) == {"latency": [2.0] * 4, "compute": [2.0] * 4, "loop": 1.5}
    peer.close()
    assert peer.process.returncode == 0


@pytest.mark.parametrize("text, reason", [
    ("""print('@vitrail-peer {"error": "no CUDA device"}')""", "no CUDA device"),
    ("import sys; sys.exit('lost a library')", "lost a library"),
])
def test_program_that_does_not_start_says_why(arguments, text, reason):
    with pytest.raises(RuntimeError, match=reason):
        peers_cuda.Peer("tensorrt-fp16", arguments(text), [1, 3, 224, 224])
