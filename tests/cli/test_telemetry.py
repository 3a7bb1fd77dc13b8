# SPDX-License-Identifier: Apache-2.0
"""The log and the traces of `vitrail serve`: settings through tritonclient, files, and OpenTelemetry's protocol."""
import http.server
import json
import ssl
import threading
import time

import numpy
import pytest
from serving import self_signed, serve
from test_serve import batch, certified, expected, request_of  # noqa: F401 (fixtures)

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
POINTS = ["HTTP_RECV_START", "HTTP_RECV_END", "REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END",
          "COMPUTE_OUTPUT_START", "COMPUTE_END", "REQUEST_END", "HTTP_SEND_START", "HTTP_SEND_END"]


def until(condition):
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def infer(server, batch, **headers):
    return server.request("/v2/models/tiny/infer", json.dumps(request_of(batch, id="i 7")).encode(), **headers)[0]


def test_each_request_is_a_line_once_it_is_asked_for(certified, batch, tmp_path):
    log = tmp_path / "log"
    with serve(certified, "--threads", 1, "--log-format", "json", "--log-file", log) as server:
        extensions = server.json("/v2")["extensions"]
        assert "logging" in extensions and "trace" in extensions
        assert infer(server, batch) == 200  # no line
        after = server.json("/v2/logging", b'{"log_verbose_level": 1}')
        assert after == {"log_file": str(log), "log_info": True, "log_warning": True, "log_error": True,
                         "log_verbose_level": 1, "log_format": "json"}
        assert infer(server, batch, traceparent=TRACEPARENT) == 200
        assert server.request("/v2/models/tiny/infer", b"{")[0] == 400
        assert server.request("/v2/models/none/infer", json.dumps(request_of(batch)).encode())[0] == 404
        assert server.request("/v2/health/ready")[0] == 200
        assert server.request("/v2/logging", b'{"log_file": "/tmp/x"}')[0] == 400
        assert server.json("/v2/logging", b'{"log_verbose_level": 0}')["log_verbose_level"] == 0
        assert infer(server, batch) == 200  # no line
        assert server.stop() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    # A line is written when the last thread lets go of its request: their order is not the requests'.
    requests = {(r["status"], r["path"]): r for r in lines if r["message"] == "request"}
    assert sorted(requests) == [(200, "/v2/health/ready"), (200, "/v2/logging"), (200, "/v2/models/tiny/infer"), (400, "/v2/logging"),
                                (400, "/v2/models/tiny/infer"), (404, "/v2/models/none/infer")]
    assert sum(r["message"] == "request" and r["path"] == "/v2/models/tiny/infer" for r in lines) == 2
    first = requests[200, "/v2/models/tiny/infer"]
    assert first["request_id"] == "i 7" and first["model"] == "tiny" and first["version"] == "1"
    assert first["rows"] == 3 and first["batch"] == 3 and first["peer"].startswith("127.0.0.1:")
    assert first["trace_id"] == TRACEPARENT[3:35]
    assert 0 < first["compute_us"] < first["total_us"] and first["queue_us"] >= 0
    assert "not JSON" in requests[400, "/v2/models/tiny/infer"]["error"]
    assert "no model 'none'" in requests[404, "/v2/models/none/infer"]["error"]
    assert any("SIGTERM" in line["message"] for line in lines)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_tritonclient_reads_and_changes_settings(certified, batch, tmp_path, protocol):
    module = pytest.importorskip(f"tritonclient.{protocol}", reason="tritonclient is not installed")
    from tritonclient.utils import InferenceServerException

    trace = tmp_path / "trace.json"
    with serve(certified, "--threads", 1, "--trace-config", f"triton,file={trace}") as server:
        client = module.InferenceServerClient(f"127.0.0.1:{getattr(server, protocol)}")
        options = {"as_json": True} if protocol == "grpc" else {}

        def plain(answer):  # gRPC's messages as HTTP has them
            if protocol == "http":
                return answer
            values = {name: value.get("value", next(iter(value.values()), None)) for name, value in answer["settings"].items()}
            return {name: v if name == "trace_level" or not isinstance(v, list) else v[0] for name, v in values.items()}

        assert plain(client.get_log_settings(**options))["log_info"] is True
        assert plain(client.update_log_settings({"log_warning": False, "log_format": "ISO8601"}, **options))["log_format"] == "ISO8601"
        assert plain(client.get_log_settings(**options))["log_warning"] is False
        assert plain(client.get_trace_settings(**options)) == {
            "trace_level": ["OFF"], "trace_rate": "1000", "trace_count": "-1", "log_frequency": "0", "trace_file": str(trace),
            "trace_mode": "triton"}
        changed = client.update_trace_settings("tiny", {"trace_level": ["TIMESTAMPS"], "trace_rate": "2", "trace_count": "2"}, **options)
        assert plain(changed)["trace_rate"] == "2"
        assert plain(client.get_trace_settings(**options))["trace_level"] == ["OFF"]
        tensor = module.InferInput("input", batch.shape, "FP32")
        tensor.set_data_from_numpy(batch)
        for i in range(6):
            client.infer("tiny", [tensor], request_id=str(i))
        assert plain(client.get_trace_settings("tiny", **options))["trace_count"] == "0"
        assert plain(client.update_trace_settings("tiny", {"trace_level": None, "trace_rate": None, "trace_count": None},
                                                  **options))["trace_level"] == ["OFF"]
        with pytest.raises(InferenceServerException, match="trace_rate"):
            client.update_trace_settings(settings={"trace_rate": "no"})
        with pytest.raises(InferenceServerException, match="no model 'none'"):
            client.get_trace_settings("none")
        client.close()
        assert server.stop() == 0
    traces = json.loads((tmp_path / "trace.json.0").read_text())
    assert [t["request_id"] for t in traces if "model_name" in t] == ["1", "3"]
    names = [p["name"] for t in traces if t["id"] == 1 and "timestamps" in t for p in t["timestamps"]]
    assert names == POINTS if protocol == "http" else names[2:9] == POINTS[2:9] and names[0] == "GRPC_WAITREAD_START"
    for t in traces:
        times = [p["ns"] for p in t.get("timestamps", [])]
        assert times == sorted(times)


def test_tensors_are_traced_when_asked(certified, batch, expected, tmp_path):
    trace = tmp_path / "trace.json"
    with serve(certified, "--threads", 1, "--trace-config", f"triton,file={trace}", "--trace-config", "level=TENSORS",
               "--trace-config", "rate=1") as server:
        assert server.json("/v2/trace/setting")["trace_level"] == ["TENSORS"]
        assert infer(server, batch) == 200
        assert server.json("/v2/trace/setting", b'{"trace_level": ["TIMESTAMPS", "TENSORS"]}')["trace_level"] == ["TIMESTAMPS", "TENSORS"]
        assert infer(server, batch) == 200
        assert server.stop() == 0
    traces = json.loads(trace.read_text())
    for number, stamps in ((1, 0), (2, 1)):
        own = [t for t in traces if t["id"] == number]
        assert sum("timestamps" in t for t in own) == stamps
        tensors = {t["activity"]: t["tensor"] for t in own if "activity" in t}
        assert list(tensors) == ["TENSOR_QUEUE_INPUT", "TENSOR_BACKEND_INPUT", "TENSOR_BACKEND_OUTPUT"]
        for activity, tensor, want in (("TENSOR_QUEUE_INPUT", "input", batch), ("TENSOR_BACKEND_INPUT", "input", batch),
                                       ("TENSOR_BACKEND_OUTPUT", "output", expected)):
            got = tensors[activity]
            assert got["name"] == tensor and got["dtype"] == "FP32"
            assert got["shape"] == ",".join(map(str, want.shape))
            assert numpy.array_equal(numpy.array(got["data"].split(","), "float32").reshape(want.shape), want)


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        refuse = self.server.refusals > 0
        self.server.refusals -= refuse
        self.send_response(503 if refuse else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
        if not refuse:
            assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json"
            self.server.spans += json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
            self.server.resource = json.loads(body)["resourceSpans"][0]["resource"]

    def log_message(self, *_):
        pass


@pytest.fixture(params=["http", "https"])
def collector(request, tmp_path, monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.url = f"{request.param}://127.0.0.1:{server.server_address[1]}/v1/traces"
    if request.param == "https":
        certificate, key = self_signed(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # or nobody vouches for it
    server.daemon_threads = True
    server.refusals, server.spans = 1, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_opentelemetry_takes_over_the_callers_trace(certified, batch, collector):
    url = collector.url
    before = time.time_ns()
    with serve(certified, "--threads", 1, "--trace-config", "mode=opentelemetry", "--trace-config", "level=TIMESTAMPS",
               "--trace-config", "rate=0", "--trace-config", f"opentelemetry,url={url}", "--trace-config",
               "opentelemetry,bsp_schedule_delay=50", "--trace-config", "opentelemetry,resource=service.name=shop") as server:
        assert infer(server, batch) == 200  # nobody traces it
        assert infer(server, batch, traceparent=TRACEPARENT) == 200
        assert infer(server, batch, traceparent=TRACEPARENT[:-1] + "0") == 200  # its caller does not sample it
        until(lambda: len(collector.spans) >= 3)  # the collector refused once
        grpc = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
        client = grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
        tensor = grpc.InferInput("input", batch.shape, "FP32")
        tensor.set_data_from_numpy(batch)
        client.infer("tiny", [tensor], headers={"traceparent": TRACEPARENT})
        client.close()
        assert server.stop() == 0  # what is queued is sent first
    assert len(collector.spans) == 6
    assert {"key": "rpc.method", "value": {"stringValue": "ModelInfer"}} in collector.spans[3]["attributes"]
    top, model, compute = collector.spans[:3]
    assert {"key": "service.name", "value": {"stringValue": "shop"}} in collector.resource["attributes"]
    assert top["name"] == "InferRequest" and top["parentSpanId"] == TRACEPARENT[36:52]
    assert {s["traceId"] for s in collector.spans} == {TRACEPARENT[3:35]}
    assert model["name"] == "tiny" and model["parentSpanId"] == top["spanId"]
    assert compute["name"] == "compute" and compute["parentSpanId"] == model["spanId"]
    assert [e["name"] for e in compute["events"]] == POINTS[4:8]
    for span in collector.spans:
        assert before < int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) < time.time_ns()


def test_a_collector_that_is_away_costs_no_request(certified, batch):
    with serve(certified, "--threads", 1, "--trace-config", "mode=opentelemetry", "--trace-config", "level=TIMESTAMPS",
               "--trace-config", "rate=1", "--trace-config", "opentelemetry,url=http://127.0.0.1:1/v1/traces",
               "--trace-config", "opentelemetry,bsp_schedule_delay=10") as server:
        for _ in range(5):
            assert infer(server, batch) == 200

        def lost():
            text = server.request("/metrics", port=server.metrics)[2].decode()
            return int(text.split("\nvitrail_traces_dropped_total ")[1].split()[0])

        until(lambda: lost() > 0)
        assert server.stop() == 0
    assert any("traces are lost" in line for line in server.errors)


def test_bad_telemetry_arguments(vitrail, certified, tmp_path):
    assert "needs" in vitrail("serve", certified, "--trace-config", "level=TIMESTAMPS", expect=2).stderr
    assert "there are level=" in vitrail("serve", certified, "--trace-config", "speed=1", expect=2).stderr
    assert "http://" in vitrail("serve", certified, "--trace-config", "mode=opentelemetry", "--trace-config",
                                "opentelemetry,url=ftp://x/", expect=2).stderr
    assert "no tensors" in vitrail("serve", certified, "--trace-config", "mode=opentelemetry", "--trace-config", "level=TENSORS", expect=2).stderr
    assert "log file" in vitrail("serve", certified, "--log-file", tmp_path, expect=3).stderr
