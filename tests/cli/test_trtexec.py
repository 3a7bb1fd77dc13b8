# SPDX-License-Identifier: Apache-2.0
"""trtexec's words and summary, here with the cpu backend."""
import json
import re

import pytest

LINE = r"min = [\d.e+-]+ ms, max = [\d.e+-]+ ms, mean = [\d.e+-]+ ms, median = [\d.e+-]+ ms"


def test_the_summary(vitrail, tiny, tmp_path):
    times, profile, layers, engine = (tmp_path / n for n in ("times.json", "profile.json", "layers.json", "e.vtl"))
    done = vitrail("trtexec", f"--onnx={tiny}", "--backend=cpu", "--minShapes=input:1x3x32x32", "--optShapes=input:2x3x32x32",
                   "--maxShapes=input:4x3x32x32", "--shapes=input:4x3x32x32", "--memPoolSize=workspace:64", f"--saveEngine={engine}",
                   "--duration=0", "--warmUp=0", "--iterations=20", "--percentile=50,99.9", "--useCudaGraph", f"--exportTimes={times}",
                   f"--exportProfile={profile}", f"--exportLayerInfo={layers}", "--dumpProfile")
    text = done.stdout
    assert re.search(r"^Throughput: [\d.e+-]+ qps$", text, re.M)
    latency = re.search(rf"^Latency: {LINE}, percentile\(50%\) = [\d.e+-]+ ms, percentile\(99.9%\) = [\d.e+-]+ ms$", text, re.M)
    assert latency, text
    order = [text.index(word) for word in ("Performance summary", "Throughput:", "Latency:", "Total Host Walltime:", "&&&& PASSED")]
    assert order == sorted(order)
    assert "GPU Compute Time" not in text  # there is no GPU in it
    assert "--useCudaGraph changes nothing here" in done.stderr
    samples = json.loads(times.read_text())
    assert len(samples) == 20 and {s["batch"] for s in samples} == {4}
    # Each figure from the samples themselves.
    latencies = sorted(s["latencyMs"] for s in samples)
    assert float(re.search(r"Latency: min = ([\d.e+-]+)", text)[1]) == pytest.approx(latencies[0], rel=1e-3)
    assert float(re.search(r"percentile\(99.9%\) = ([\d.e+-]+)", text)[1]) == pytest.approx(latencies[-1], rel=1e-3)
    rows = json.loads(profile.read_text())
    assert rows[0].keys() == {"count"} and {"name", "timeMs", "averageMs", "medianMs", "percentage"} == rows[1].keys()
    assert sum(r["percentage"] for r in rows[1:]) == pytest.approx(100, abs=0.1)
    assert len(json.loads(layers.read_text())["Layers"]) == len(rows) - 1
    # The engine is one like any other, with the profile that the shapes said.
    again = vitrail("trtexec", f"--loadEngine={engine}", "--shapes=input:1x3x32x32", "--duration=0", "--iterations=5").stdout
    assert "Throughput:" in again
    refused = vitrail("trtexec", f"--loadEngine={engine}", "--shapes=input:8x3x32x32", "--duration=0", "--iterations=5", expect=2)
    assert "max_batch: 8" in refused.stderr


def test_duration_is_a_least_time(vitrail, engine):
    # However long the warm-up is, and with the layers' times, which are taken apart.
    for words in (["--warmUp=10"], ["--warmUp=400"], ["--warmUp=0", "--dumpProfile"]):
        text = vitrail("trtexec", f"--loadEngine={engine}", "--duration=0.3", "--iterations=3", *words).stdout
        assert float(re.search(r"Total Host Walltime: ([\d.e+-]+) s", text)[1]) > 0.299, words


@pytest.mark.parametrize("words, said", [
    ([], "give --onnx=MODEL or --loadEngine=ENGINE.vtl"),
    (["--onnx=a", "--loadEngine=b"], "one of the two"),
    (["--onnx=a", "--flux"], "--flux: vitrail trtexec does not know this word"),
    (["--onnx=a", "--iterations=many"], "--iterations=many: needs a number"),
    (["--onnx=a", "--shapes=x:1x3,y:2x3"], "different batch sizes"),
    (["--onnx=a", "--memPoolSize=1024"], "write it as workspace:1024"),
    (["--onnx=a", "--percentile=101"], "more than 100"),
    (["--onnx=a", "--backend=cpu", "--saveEngine=x.plan"], "only the tensorrt backend has a bare plan"),
])
def test_words_that_make_no_sense(vitrail, words, said):
    assert said in vitrail("trtexec", *words, expect=2).stderr


def test_a_missing_model_is_a_bad_input(vitrail, tmp_path):
    text = vitrail("trtexec", f"--onnx={tmp_path}/none.onnx", "--backend=cpu", expect=3).stderr
    assert "none.onnx" in text
