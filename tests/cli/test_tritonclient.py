# SPDX-License-Identifier: Apache-2.0
"""PyPI's tritonclient, unchanged, against `vitrail serve`: HTTP and gRPC."""
import os
import queue

import numpy
import pytest

pytest.importorskip("tritonclient", reason="tritonclient is not installed (tests/requirements.txt)")
import tritonclient.grpc
import tritonclient.http
from serving import serve
from test_serve import batch, certified, expected, server  # noqa: F401 (fixtures)


@pytest.fixture(params=["http", "grpc"])
def triton(request, server):
    module = getattr(tritonclient, request.param)
    client = module.InferenceServerClient(f"127.0.0.1:{getattr(server, request.param)}")
    client.module = module
    yield client
    client.close()


def as_dict(client, answer):
    from google.protobuf import json_format

    if client.module is tritonclient.http:
        return answer
    return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def input_of(client, array, **options):
    tensor = client.module.InferInput("input", array.shape, "FP32")
    tensor.set_data_from_numpy(array, **options)
    return tensor


def test_health_and_metadata(triton):
    assert triton.is_server_live() and triton.is_server_ready() and triton.is_model_ready("tiny")
    assert not triton.is_model_ready("other")
    assert as_dict(triton, triton.get_server_metadata())["name"] == "vitrail"
    model = as_dict(triton, triton.get_model_metadata("tiny"))
    assert model["inputs"][0]["name"] == "input" and model["inputs"][0]["datatype"] == "FP32"
    assert [int(n) for n in model["inputs"][0]["shape"]] == [-1, 3, 32, 32]
    config = as_dict(triton, triton.get_model_config("tiny"))
    config = config.get("config", config)
    assert config["max_batch_size"] == 8 and config["input"][0]["data_type"] == "TYPE_FP32"
    assert [int(n) for n in config["input"][0]["dims"]] == [3, 32, 32]
    index = as_dict(triton, triton.get_model_repository_index())
    assert (index["models"] if isinstance(index, dict) else index)[0]["state"] == "READY"


def test_inference_equals_the_offline_run(triton, batch, expected):
    result = triton.infer("tiny", [input_of(triton, batch)], request_id="9", priority=1, timeout=30_000_000)
    assert result.as_numpy("output").tobytes() == expected.tobytes()
    wanted = triton.module.InferRequestedOutput("output")
    assert triton.infer("tiny", [input_of(triton, batch)], outputs=[wanted]).as_numpy("output").shape == expected.shape


def test_json_both_ways(server, batch, expected):
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http}")
    wanted = tritonclient.http.InferRequestedOutput("output", binary_data=False)
    result = client.infer("tiny", [input_of_http(batch)], outputs=[wanted])
    assert result.as_numpy("output").tobytes() == expected.tobytes()
    client.close()


def input_of_http(array):
    tensor = tritonclient.http.InferInput("input", array.shape, "FP32")
    tensor.set_data_from_numpy(array, binary_data=False)
    return tensor


def test_classification_gives_scores_and_classes(triton, batch, expected):
    wanted = triton.module.InferRequestedOutput("output", class_count=2)
    got = triton.infer("tiny", [input_of(triton, batch)], outputs=[wanted]).as_numpy("output")
    best = numpy.argsort(-expected, axis=1, kind="stable")[:, :2]
    for row, classes in zip(got, best):
        for text, index in zip(row, classes):
            score, number = text.decode().split(":")[:2]
            assert int(number) == index
    assert float(got[0][0].decode().split(":")[0]) == pytest.approx(float(expected[0, best[0, 0]]), abs=1e-5)


def test_encoded_pictures_as_bytes(triton, vitrail, certified, pictures):
    files = sorted(pictures.rglob("picture.*"))
    encoded = numpy.array([file.read_bytes() for file in files], dtype=object)
    tensor = triton.module.InferInput("input", encoded.shape, "BYTES")
    tensor.set_data_from_numpy(encoded)
    scores = triton.infer("tiny", [tensor]).as_numpy("output")
    for file, row in zip(files, scores):
        offline = vitrail.json("run", certified, "--image", file, "--top", 1)["results"][0]["top"][0]
        assert int(row.argmax()) == offline["index"]


def test_statistics_count_every_row(triton, batch):
    def counts():
        return as_dict(triton, triton.get_inference_statistics("tiny"))["model_stats"][0]

    before = counts()
    triton.infer("tiny", [input_of(triton, batch)])
    after = counts()
    assert int(after["inference_count"]) - int(before["inference_count"]) == len(batch)
    assert int(after["inference_stats"]["success"]["count"]) - int(before["inference_stats"]["success"]["count"]) == 1


@pytest.mark.parametrize("fault, says", [
    (lambda c, b: c.infer("other", [input_of(c, b)]), "no model 'other'"),
    (lambda c, b: c.infer("tiny", [input_of(c, b)], model_version="9"), "no version '9'"),
    (lambda c, b: c.infer("tiny", [input_of(c, b[:, :, :16])]), r"expected \[-1,3,32,32\]"),
    (lambda c, b: c.infer("tiny", [input_of(c, numpy.repeat(b, 3, 0))]), "1 to 8 rows"),
    (lambda c, b: c.infer("tiny", [input_of(c, b)], outputs=[c.module.InferRequestedOutput("none")]), "unknown output 'none'"),
    (lambda c, b: c.load_model("tiny"), "--model-control explicit"),
])
def test_faults_say_what_was_expected(triton, batch, fault, says):
    with pytest.raises(tritonclient.utils.InferenceServerException, match=says):
        fault(triton, batch)
    assert triton.is_server_live()


def test_a_stream_answers_each_request(server, batch, expected):
    client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    tensor = tritonclient.grpc.InferInput("input", batch.shape, "FP32")
    tensor.set_data_from_numpy(batch)
    for number in range(100):
        client.async_stream_infer("tiny", [tensor], request_id=str(number))
    bad = tritonclient.grpc.InferInput("input", batch.shape, "FP32")
    bad.set_data_from_numpy(batch * numpy.float32(numpy.nan))
    client.async_stream_infer("tiny", [bad], request_id="bad")
    seen, errors = set(), []
    for _ in range(101):
        result, error = answers.get(timeout=60)
        if error:
            errors.append(str(error))
        else:
            assert result.as_numpy("output").tobytes() == expected.tobytes()
            seen.add(result.get_response().id)
    assert seen == {str(n) for n in range(100)} and len(errors) == 1 and "NaN" in errors[0]
    client.stop_stream()
    client.close()


def test_many_at_once_get_their_own_answers(server, vitrail, certified, tmp_path):
    rows = numpy.random.default_rng(2).standard_normal((8, 3, 32, 32)).astype(numpy.float32)
    numpy.save(tmp_path / "x.npy", rows)
    vitrail("run", certified, "--input", f"input={tmp_path / 'x.npy'}", "--output", f"output={tmp_path / 'y.npy'}")
    offline = numpy.load(tmp_path / "y.npy")
    client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    answers = queue.Queue()
    for number in range(64):
        tensor = tritonclient.grpc.InferInput("input", (1, 3, 32, 32), "FP32")
        tensor.set_data_from_numpy(rows[number % 8:number % 8 + 1])
        client.async_infer("tiny", [tensor], lambda result, error, n=number: answers.put((n, result, error)))
    for _ in range(64):
        number, result, error = answers.get(timeout=60)
        assert error is None, error
        assert result.as_numpy("output").tobytes() == offline[number % 8:number % 8 + 1].tobytes()
    client.close()


def test_system_shared_memory_both_ways(triton, batch, expected):
    shm = pytest.importorskip("tritonclient.utils.shared_memory", reason="this tritonclient has no shared memory")
    keys = [f"/vitrail_{os.getpid()}_{name}" for name in ("given", "taken")]  # other runs on this machine have their own
    given = shm.create_shared_memory_region("given", keys[0], batch.nbytes)
    taken = shm.create_shared_memory_region("taken", keys[1], expected.nbytes + 64)
    try:
        shm.set_shared_memory_region(given, [batch])
        triton.register_system_shared_memory("given", keys[0], batch.nbytes)
        triton.register_system_shared_memory("taken", keys[1], expected.nbytes + 64)
        status = as_dict(triton, triton.get_system_shared_memory_status())
        assert "given" in str(status) and "taken" in str(status)
        tensor = triton.module.InferInput("input", batch.shape, "FP32")
        tensor.set_shared_memory("given", batch.nbytes)
        wanted = triton.module.InferRequestedOutput("output")
        wanted.set_shared_memory("taken", expected.nbytes, offset=64)
        triton.infer("tiny", [tensor], outputs=[wanted])
        got = shm.get_contents_as_numpy(taken, numpy.float32, expected.shape, offset=64)
        assert got.tobytes() == expected.tobytes()
        tensor.set_shared_memory("given", batch.nbytes, offset=4)
        with pytest.raises(tritonclient.utils.InferenceServerException, match="of region 'given'"):
            triton.infer("tiny", [tensor])
        with pytest.raises(tritonclient.utils.InferenceServerException, match="registered already"):
            triton.register_system_shared_memory("given", keys[0], 4)
        triton.unregister_system_shared_memory()
        with pytest.raises(tritonclient.utils.InferenceServerException, match="no region 'given'"):
            triton.infer("tiny", [tensor])
    finally:
        shm.destroy_shared_memory_region(given)
        shm.destroy_shared_memory_region(taken)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression(triton, batch, expected, algorithm):
    if triton.module is tritonclient.grpc:
        options = {"compression_algorithm": algorithm}
    else:
        options = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
    for array in (batch, numpy.zeros_like(batch)):  # noise does not get smaller, zeros do
        result = triton.infer("tiny", [input_of(triton, array)], **options).as_numpy("output")
        assert result.shape == expected.shape
        assert array is not batch or result.tobytes() == expected.tobytes()


def test_grpc_within_a_small_bound_on_all_bodies(certified, batch, expected):
    with serve(certified, "--threads", 1, "--max-body", "64KiB", "--max-body-total", "64KiB") as small:
        client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{small.grpc}")
        client.module = tritonclient.grpc
        for _ in range(5):
            assert client.infer("tiny", [input_of(client, batch)]).as_numpy("output").tobytes() == expected.tobytes()
        client.close()
