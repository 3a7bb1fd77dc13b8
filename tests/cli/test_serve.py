# SPDX-License-Identifier: Apache-2.0
"""`vitrail serve` as its clients meet it: curl, urllib and PyPI's tritonclient; every answer beside `vitrail run`."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import numpy
import pytest
from conftest import BINARY, ROOT
from serving import Server, self_signed, serve


@pytest.fixture(scope="module")
def certified(vitrail, engine, tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("certified") / "tiny.vtl"
    shutil.copy(engine, path)
    vitrail("verify", path, "--reference", tiny, "--random", 2, "--certify")
    return path


@pytest.fixture(scope="module")
def server(certified):
    with serve(certified, "--threads", 1) as running:
        yield running


@pytest.fixture(scope="module")
def batch():
    return numpy.random.default_rng(1).standard_normal((3, 3, 32, 32)).astype(numpy.float32)


@pytest.fixture(scope="module")
def expected(vitrail, certified, batch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected")
    numpy.save(folder / "x.npy", batch)
    vitrail("run", certified, "--input", f"input={folder / 'x.npy'}", "--output", f"output={folder / 'y.npy'}")
    return numpy.load(folder / "y.npy")


def request_of(array, binary=False, **more):
    described = {"name": "input", "datatype": "FP32", "shape": list(array.shape)}
    if binary:
        described["parameters"] = {"binary_data_size": array.nbytes}
    else:
        described["data"] = array.ravel().tolist()
    return {"inputs": [described], **more}


def test_json_tensors_equal_the_offline_run(server, batch, expected):
    answer = server.json("/v2/models/tiny/infer", json.dumps(request_of(batch, id="7")).encode())
    assert answer["id"] == "7" and answer["model_version"] == "1"
    got = numpy.array(answer["outputs"][0]["data"], numpy.float32).reshape(answer["outputs"][0]["shape"])
    assert got.tobytes() == expected.tobytes()


def test_binary_tensors_equal_the_offline_run(server, batch, expected):
    header = json.dumps(request_of(batch, True, parameters={"binary_data_output": True})).encode()
    status, headers, body = server.request("/v2/models/tiny/infer", header + batch.tobytes(),
                                           Inference_Header_Content_Length=str(len(header)))
    assert status == 200
    length = int(headers["Inference-Header-Content-Length"])
    described = json.loads(body[:length])["outputs"][0]
    assert described["parameters"]["binary_data_size"] == expected.nbytes
    assert body[length:] == expected.tobytes()


def test_curl_classifies_a_picture_as_run_does(server, vitrail, certified, pictures):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    for picture in sorted(pictures.rglob("picture.*")):
        url = f"http://127.0.0.1:{server.http}/v2/models/tiny/classify?top=3"
        done = subprocess.run(["curl", "-sS", "--fail", "--data-binary", f"@{picture}", url], capture_output=True, check=True)
        offline = vitrail.json("run", certified, "--image", picture, "--top", 3)["results"][0]["top"]
        assert json.loads(done.stdout)["top"] == offline


def test_curl_waits_for_100_continue(server, batch):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    body = json.dumps(request_of(batch))
    done = subprocess.run(["curl", "-sS", "--fail", "-H", "Expect: 100-continue", "--expect100-timeout", "30", "-m", "20",
                           "--data-binary", "@-", f"http://127.0.0.1:{server.http}/v2/models/tiny/infer"],
                          input=body, text=True, capture_output=True, check=True)
    assert "outputs" in json.loads(done.stdout)


def test_what_is_no_picture_is_refused(server):
    status, _, body = server.request("/v2/models/tiny/classify", b"not a picture")
    assert status == 400 and "picture" in json.loads(body)["error"]


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded(vitrail, certified, pictures):
    assert "--max-image-pixels" in vitrail("serve", certified, "--max-image-pixels", 0, expect=2).stderr
    with serve(certified, "--threads", 1, "--max-image-pixels", "2000") as server:
        statuses = {}
        for picture in pictures.rglob("picture.*"):
            status, _, body = server.request("/v2/models/tiny/classify", picture.read_bytes())
            statuses[picture.suffix] = status
            assert status == 200 or "--max-image-pixels" in json.loads(body)["error"]
        assert statuses == {".png": 200, ".webp": 200, ".jpg": 400}  # 1200, 1650 and 4096 pixels


def test_curl_compressed(server):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    url = f"http://127.0.0.1:{server.http}/"
    done = subprocess.run(["curl", "-sS", "--compressed", "-D", "-", url], capture_output=True, check=True, text=True)
    assert "content-encoding:" in done.stdout.lower() and "</html>" in done.stdout


def test_nan_is_refused_and_named(server, batch):
    bad = batch.copy()
    bad[1, 0, 0, 5] = numpy.nan
    header = json.dumps(request_of(bad, True)).encode()
    status, _, body = server.request("/v2/models/tiny/infer", header + bad.tobytes(),
                                     Inference_Header_Content_Length=str(len(header)))
    assert status == 400 and "NaN" in json.loads(body)["error"] and "'input'" in json.loads(body)["error"]


def test_metrics_have_tritons_names(server):
    _, headers, body = server.request("/metrics", port=server.metrics)
    text = body.decode()
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for name in ["nv_inference_request_success", "nv_inference_request_failure", "nv_inference_count",
                 "nv_inference_exec_count", "nv_inference_pending_request_count", "nv_inference_request_duration_us",
                 "nv_inference_queue_duration_us", "nv_inference_compute_input_duration_us",
                 "nv_inference_compute_infer_duration_us", "nv_inference_compute_output_duration_us"]:
        assert f'{name}{{model="tiny",version="1"' in text
    for name in ["nv_cpu_utilization", "nv_cpu_memory_total_bytes", "nv_cpu_memory_used_bytes", "vitrail_traces_dropped_total"]:
        assert f"\n{name} " in text
    assert 'vitrail_request_duration_seconds_bucket{model="tiny",version="1",le="+Inf"}' in text


def test_the_dashboard_asks_for_metrics_that_are_there(server):
    text = server.request("/metrics", port=server.metrics)[2].decode()
    board = json.loads((ROOT / "deploy/grafana.json").read_text())
    asked = {name for panel in board["panels"] for target in panel["targets"] for name in re.findall(r"\b(?:nv|vitrail|process)_\w+", target["expr"])}
    assert len(asked) > 10
    missing = {name for name in asked if f"# TYPE {name.removesuffix('_bucket')} " not in text}
    assert {name for name in missing if not name.startswith("nv_gpu_")} == set()  # those are there where a GPU is


def test_an_uncertified_engine_is_refused_unless_allowed(vitrail, engine):
    error = vitrail("serve", engine, expect=1).stderr
    assert "--allow-uncertified" in error
    server = Server(engine, "--allow-uncertified")
    assert server.json("/v2/models/tiny")["name"] == "tiny"
    assert server.stop() == 0


def test_bad_arguments(vitrail, certified, tmp_path):
    assert "engine files" in vitrail("serve", expect=2).stderr
    assert "no such folder" in vitrail("serve", "--model-repository", tmp_path / "none", expect=3).stderr
    assert "'20'" in vitrail("serve", certified, "--slo", "20", expect=2).stderr
    assert "--max-body-total" in vitrail("serve", certified, "--max-body", "2GiB", expect=2).stderr
    assert "two engines" in vitrail("serve", certified, certified, expect=2).stderr
    assert "cannot listen" in vitrail("serve", certified, "--http-port", 1, "--address", "192.0.2.1", expect=3).stderr


def test_a_repository_under_explicit_control(certified, tmp_path):
    for version in ("1", "2"):
        (tmp_path / "vit" / version).mkdir(parents=True)
        shutil.copy(certified, tmp_path / "vit" / version / "model.vtl")
    with serve("--model-repository", tmp_path, "--model-control", "explicit") as server:
        assert server.request("/v2/models/vit/ready")[0] == 404
        assert server.request("/v2/repository/models/vit/load", b"{}")[0] == 200
        assert server.json("/v2/models/vit")["versions"] == ["2"]
        assert server.json("/v2/repository/index", b"")[0]["state"] == "READY"
        assert server.request("/v2/repository/models/vit/unload", b"{}")[0] == 200
        assert server.request("/v2/models/vit/ready")[0] == 404


CONFIG = """
max_batch_size: 4
version_policy { all { } }
instance_group [ { count: 2 } ]
dynamic_batching {
  preferred_batch_size: [ 2, 4 ]
  max_queue_delay_microseconds: 300
  priority_levels: 2
  default_queue_policy { default_timeout_microseconds: 9000000 allow_timeout_override: true max_queue_size: 5 }
  priority_queue_policy { key: 2 value { timeout_action: DELAY default_timeout_microseconds: 7000 max_queue_size: 3 } }
}
model_warmup [ { batch_size: 4 count: 2 } ]
optimization { cuda { graphs: true } }
"""


def put(certified, folder):
    folder.mkdir(parents=True)
    shutil.copy(certified, folder / "model.vtl")


def test_a_models_configuration_is_read(certified, tmp_path):
    for version in ("1", "3"):
        put(certified, tmp_path / "vit" / version)
    (tmp_path / "vit/config.pbtxt").write_text(CONFIG)
    with serve("--model-repository", tmp_path, "--threads", 1) as server:
        assert server.json("/v2/models/vit")["versions"] == ["1", "3"]
        config = server.json("/v2/models/vit/versions/1/config")
        batching = config["dynamic_batching"]
        assert config["max_batch_size"] == 4 and config["instance_group"][0]["count"] == 2
        assert batching["preferred_batch_size"] == [2, 4] and batching["max_queue_delay_microseconds"] == 300
        assert batching["priority_levels"] == 2 and batching["default_queue_policy"]["max_queue_size"] == 5
        assert batching["priority_queue_policy"] == {"2": {"timeout_action": "DELAY", "default_timeout_microseconds": 7000,
                                                           "allow_timeout_override": False, "max_queue_size": 3}}
        grpc = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
        client = grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
        policies = client.get_model_config("vit").config.dynamic_batching.priority_queue_policy
        assert policies[2].timeout_action == 1 and policies[2].max_queue_size == 3
        client.close()
    assert any("optimization" in line for line in server.errors)


def test_a_bad_configuration_says_where(vitrail, certified, tmp_path):
    put(certified, tmp_path / "vit/1")
    (tmp_path / "vit/config.pbtxt").write_text("max_batch_size: many")
    assert "line 1, column 17" in vitrail("serve", "--model-repository", tmp_path, expect=3).stderr
    (tmp_path / "vit/config.pbtxt").write_text("backend: \"onnxruntime\"")
    assert "onnxruntime" in vitrail("serve", "--model-repository", tmp_path, expect=3).stderr


def test_two_backends_do_not_wait_for_each_other(vitrail, certified, tiny, tmp_path, batch, expected):
    for name, path in (("fast", certified), ("slow", tmp_path / "slow.vtl")):
        if name == "slow":
            vitrail("build", tiny, "-o", path, "--backend", "reference", "--profile", "1:4:8")
        (tmp_path / "models" / name / "1").mkdir(parents=True)
        shutil.copy(path, tmp_path / "models" / name / "1" / "model.vtl")
    slow = json.dumps(request_of(numpy.concatenate([batch, batch, batch[:2]]))).encode()  # 8 rows
    with serve("--model-repository", tmp_path / "models", "--allow-uncertified", "--threads", 1) as server:
        assert [server.json(f"/v2/models/{name}")["platform"] for name in ("fast", "slow")] == ["vitrail_cpu", "vitrail_reference"]
        answers = []
        thread = threading.Thread(target=lambda: answers.append(server.json("/v2/models/slow/infer", slow)))
        thread.start()
        meanwhile = 0
        while thread.is_alive():
            got = server.json("/v2/models/fast/infer", json.dumps(request_of(batch)).encode())
            assert numpy.array_equal(numpy.array(got["outputs"][0]["data"], "float32").reshape(expected.shape), expected)
            meanwhile += thread.is_alive()
        thread.join()
        got = numpy.array(answers[0]["outputs"][0]["data"], "float32").reshape(8, -1)[:3]
        assert numpy.allclose(got, expected, rtol=1e-4, atol=1e-5)
        assert meanwhile > 0  # answered while the other one computed
        assert server.stop() == 0


def test_instances_share_the_weights(vitrail, tmp_path):
    model = pathlib.Path(os.environ.get("VTL_DEMO", "")) / "vit_s_focus.onnx"
    if not model.is_file():
        pytest.skip("VTL_DEMO has no vit_s_focus.onnx: run scripts/fetch_demo.sh")
    engine = tmp_path / "small.vtl"
    vitrail("build", model, "-o", engine, "--profile", "1:1:1")

    def resident(instances):
        with serve(engine, "--allow-uncertified", "--threads", 1, "--instances", instances) as server:
            text = server.request("/metrics", port=server.metrics)[2].decode()
            return float(re.search(r"^process_resident_memory_bytes (\S+)", text, re.M).group(1))

    assert resident(4) - resident(1) < 0.5 * engine.stat().st_size  # three more, each of 85 MB if they did not


def test_polling_follows_the_folder(certified, tmp_path):
    put(certified, tmp_path / "first/1")
    with serve("--model-repository", tmp_path, "--model-control", "poll", "--poll-seconds", "0.1", "--threads", 1) as server:

        def until(path, status):
            end = time.monotonic() + 30
            while server.request(path)[0] != status and time.monotonic() < end:
                time.sleep(0.05)
            assert server.request(path)[0] == status

        put(certified, tmp_path / "second/1")
        until("/v2/models/second/ready", 200)
        put(certified, tmp_path / "first/2")
        until("/v2/models/first/versions/2/ready", 200)
        (tmp_path / "first/3").mkdir()
        (tmp_path / "first/3/model.vtl").write_bytes(b"damaged")  # logged; version 2 stays
        shutil.rmtree(tmp_path / "second")
        until("/v2/models/second/ready", 404)
        assert server.request("/v2/models/first/versions/2/ready")[0] == 200


def test_load_prints_perf_analyzers_fields(vitrail, server):
    report = vitrail.json("load", "-u", f"localhost:{server.http}", "-m", "tiny", "--concurrency", "1,2", "--duration", 0.5,
                          "--warm-up", 0.1, "-b", 2)
    assert [r["concurrency"] for r in report["results"]] == [1, 2]
    for result in report["results"]:
        assert result["failed"] == 0 and result["request_count"] > 0
        assert result["p50_latency_us"] <= result["p90_latency_us"] <= result["p99_latency_us"]
        assert result["server"]["inference_count"] == 2 * result["server"]["successful_request_count"]
    text = vitrail("load", "-u", f"localhost:{server.http}", "-m", "tiny", "--request-rate", 50, "--poisson", "--duration", 0.5,
                   "--warm-up", 0).stdout
    for field in ["Request rate: 50 (poisson)", "Throughput:", "p99 latency:", "Avg request latency:", "compute infer"]:
        assert field in text


def test_load_says_what_failed(vitrail, server):
    assert "no model 'none'" in vitrail("load", "-u", f"localhost:{server.http}", "-m", "none", expect=3).stderr
    assert "write it like" in vitrail("load", "-u", "nowhere", "-m", "tiny", expect=2).stderr
    assert vitrail("load", "-u", "localhost:1", "-m", "tiny", expect=3).stderr


def test_client_classifies_a_folder_as_run_does(vitrail, server, certified, pictures):
    report = vitrail.json("client", pictures, "-u", f"localhost:{server.http}", "-m", "tiny", "--top", 2)
    assert report["failed"] == 0 and len(report["results"]) == 3
    for result in report["results"]:
        assert result["top"] == vitrail.json("run", certified, "--image", result["image"], "--top", 2)["results"][0]["top"]
    assert "3 images, 0 failed" in vitrail("client", pictures, "-u", f"localhost:{server.http}", "-m", "tiny").stdout


def test_an_interrupted_client_prints_what_it_has(certified, pictures, tmp_path):
    picture = next(pictures.rglob("picture.png"))
    for i in range(3000):
        (tmp_path / f"{i:04}.png").symlink_to(picture)
    with serve(certified, "--threads", 1) as server:
        client = subprocess.Popen([BINARY, "client", tmp_path, "-u", f"localhost:{server.http}", "-m", "tiny", "--json", "--concurrency", "1"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 60
        while server.json("/v2/models/tiny/stats")["model_stats"][0]["inference_count"] < 5 and time.monotonic() < end:
            time.sleep(0.002)
        client.send_signal(signal.SIGINT)
        output, _ = client.communicate(timeout=60)
    report = json.loads(output)
    assert client.returncode == 130
    assert 4 <= report["images"] < 3000 and report["of"] == 3000 and report["failed"] == 0
    assert len(report["results"]) == report["images"] and all(result["top"] for result in report["results"])


def test_tls(vitrail, certified, tmp_path, batch):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    certificate, key = self_signed(tmp_path)
    with serve(certified, "--tls-certificate", certificate, "--tls-key", key, "--threads", 1) as server:
        url = f"https://127.0.0.1:{server.http}/v2/models/tiny/infer"
        done = subprocess.run(["curl", "-sS", "--fail", "--cacert", certificate, "--data-binary", "@-", url], text=True,
                              input=json.dumps(request_of(batch)), capture_output=True, check=True)
        assert "outputs" in json.loads(done.stdout)
        assert subprocess.run(["curl", "-sS", url.replace("https", "http")], capture_output=True).returncode != 0
        load = ["load", "-u", f"https://127.0.0.1:{server.http}", "-m", "tiny", "--duration", "0.3", "--warm-up", "0"]
        trusting = {**os.environ, "SSL_CERT_FILE": str(certificate)}
        assert vitrail.json(*load, env=trusting)["results"][0]["infer_per_second"] > 0
        assert "certificate verify failed" in vitrail(*load, expect=3).stderr
        grpc = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
        client = grpc.InferenceServerClient(f"localhost:{server.grpc}", ssl=True, root_certificates=str(certificate))
        assert client.is_server_ready()
        client.close()
        assert server.stop() == 0


def test_a_certificate_of_another_host_is_refused(vitrail, certified, tmp_path):
    certificate, key = self_signed(tmp_path, "DNS:elsewhere.example")
    with serve(certified, "--tls-certificate", certificate, "--tls-key", key, "--threads", 1) as server:
        said = vitrail("load", "-u", f"https://127.0.0.1:{server.http}", "-m", "tiny", expect=3,
                       env={**os.environ, "SSL_CERT_FILE": str(certificate)}).stderr
    assert "certificate verify failed" in said


def test_bad_tls_files(vitrail, certified, tmp_path):
    assert "go together" in vitrail("serve", certified, "--tls-key", "x", expect=2).stderr
    (tmp_path / "x.pem").write_text("nothing")
    assert "x.pem" in vitrail("serve", certified, "--tls-key", tmp_path / "x.pem", "--tls-certificate", tmp_path / "x.pem", expect=3).stderr
