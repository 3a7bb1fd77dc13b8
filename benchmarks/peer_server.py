#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A model in ONNX Runtime behind LitServe or Ray Serve: peer_server.py {litserve,ray} MODEL.onnx --port P [--threads N] [--max-batch N].

It answers what `vitrail load` asks, so that one generator measures them all: POST /v2/models/model/classify with a picture (JSON of classes),
POST …/infer with a binary tensor (a binary tensor), GET /v2/models/model. Needs onnxruntime, numpy, pillow and litserve or ray[serve].
"""
import argparse
import io
import json
from typing import Annotated

import numpy

try:
    import fastapi
    import litserve
except ImportError:  # only Ray is to run
    fastapi = litserve = None

MODEL = "/v2/models/model"


class Network:
    """The session, and the preparation of pictures as timm does it for the model (bicubic, centre crop)."""

    def __init__(self, path, threads, contract):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input, self.output = self.session.get_inputs()[0], self.session.get_outputs()[0]
        self.contract = contract

    def picture(self, data):
        from PIL import Image

        c = self.contract
        image = Image.open(io.BytesIO(data)).convert("RGB")
        short = min(image.size)
        image = image.resize([c["resize"] * side // short for side in image.size], Image.BICUBIC)
        left, top = (round((side - c["crop"]) / 2) for side in image.size)
        pixels = numpy.asarray(image.crop((left, top, left + c["crop"], top + c["crop"])), numpy.float32) / 255
        return ((pixels - c["mean"]) / c["std"]).astype(numpy.float32).transpose(2, 0, 1)[None]

    def decode(self, kind, body):
        if kind == "classify":
            return self.picture(body)
        described, length = json.JSONDecoder().raw_decode(body[:4096].decode("latin1"))
        return numpy.frombuffer(body, numpy.float32, offset=length).reshape(described["inputs"][0]["shape"])

    def run(self, arrays):
        """Requests' rows as one batch, and what belongs to each."""
        scores = self.session.run([self.output.name], {self.input.name: numpy.concatenate(arrays)})[0]
        return numpy.split(scores, numpy.cumsum([len(a) for a in arrays])[:-1])

    def encode(self, kind, scores):
        """Body and headers."""
        if kind == "classify":
            row = numpy.exp(scores[0] - scores[0].max())
            best = int(row.argmax())
            return json.dumps({"top": [{"index": best, "label": "", "score": float(row[best] / row.sum())}]}).encode(), {}
        header = json.dumps({"model_name": "model", "outputs": [{"name": self.output.name, "datatype": "FP32", "shape": list(scores.shape),
                                                               "parameters": {"binary_data_size": scores.nbytes}}]}).encode()
        return header + scores.tobytes(), {"Inference-Header-Content-Length": str(len(header))}

    def metadata(self):
        def described(tensor):
            return [{"name": tensor.name, "datatype": "FP32", "shape": [d if isinstance(d, int) else -1 for d in tensor.shape]}]

        return {"name": "model", "versions": ["1"], "platform": "onnxruntime", "inputs": described(self.input), "outputs": described(self.output)}


# LitServe hands its classes to other processes by name: they stand here, not in a function.
class LitApi(litserve.LitAPI if litserve else object):
    def __init__(self, kind, options, contract):
        super().__init__(max_batch_size=options.max_batch, batch_timeout=options.batch_timeout, api_path=f"{MODEL}/{kind}")
        self.kind, self.options, self.contract = kind, options, contract

    def setup(self, device):
        self.network = Network(self.options.model, self.options.threads, self.contract)

    def decode_request(self, request: Annotated[bytes, fastapi.Body(media_type="application/octet-stream") if fastapi else None]):
        return self.network.decode(self.kind, request)

    def batch(self, inputs):
        return inputs

    def predict(self, inputs):
        return self.network.run(inputs if self.options.max_batch > 1 else [inputs])

    def unbatch(self, outputs):
        return list(outputs)

    def encode_response(self, output):
        body, headers = self.network.encode(self.kind, output if self.options.max_batch > 1 else output[0])
        return fastapi.Response(body, headers=headers, media_type="application/octet-stream")


def run_litserve(options, contract):
    metadata = Network(options.model, 1, contract).metadata()
    apis = [LitApi(kind, options, contract) for kind in options.kinds]
    server = litserve.LitServer(apis, accelerator="cpu", devices=1, workers_per_device=1, timeout=60)
    server.app.get(MODEL)(lambda: metadata)
    server.run(host="127.0.0.1", port=options.port, num_api_servers=1, log_level="error", generate_client_file=False)


def run_ray(options, contract):
    import asyncio
    import concurrent.futures
    import threading

    import ray
    from ray import serve
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response

    ray.init(num_cpus=options.threads, include_dashboard=False, log_to_driver=False, logging_level="error")

    @serve.deployment(num_replicas=1, max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})
    class Model:
        def __init__(self):
            self.network = Network(options.model, options.threads, contract)
            self.decoders = concurrent.futures.ThreadPoolExecutor(max(1, options.threads // 2))
            self.runner = concurrent.futures.ThreadPoolExecutor(1)

        @serve.batch(max_batch_size=options.max_batch, batch_wait_timeout_s=options.batch_timeout)
        async def run(self, arrays):
            return await asyncio.get_running_loop().run_in_executor(self.runner, self.network.run, arrays)

        async def __call__(self, request: Request):
            kind = request.url.path.rsplit("/", 1)[1]
            if request.method == "GET":
                return JSONResponse(self.network.metadata())
            body = await request.body()
            array = await asyncio.get_running_loop().run_in_executor(self.decoders, self.network.decode, kind, body)
            answer, headers = self.network.encode(kind, await self.run(array))
            return Response(answer, headers=headers, media_type="application/octet-stream")

    serve.start(http_options={"host": "127.0.0.1", "port": options.port})
    serve.run(Model.bind(), route_prefix="/", name="model")
    threading.Event().wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=["litserve", "ray"])
    parser.add_argument("model")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-batch", type=int, default=8)
    parser.add_argument("--batch-timeout", type=float, default=0.002, help="seconds that a request waits for others")
    parser.add_argument("--kinds", nargs="+", default=["classify", "infer"])
    parser.add_argument("--resize", type=int, default=224)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--mean", type=float, nargs=3, default=[0.485, 0.456, 0.406])
    parser.add_argument("--std", type=float, nargs=3, default=[0.229, 0.224, 0.225])
    options = parser.parse_args()
    contract = {"resize": options.resize, "crop": options.crop, "mean": numpy.array(options.mean, numpy.float32),
                "std": numpy.array(options.std, numpy.float32)}
    {"litserve": run_litserve, "ray": run_ray}[options.server](options, contract)


if __name__ == "__main__":
    main()
