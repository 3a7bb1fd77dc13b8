#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the seeds of the fuzz targets: make_corpus.py FOLDER VITRAIL. Small valid files of every kind, in FOLDER/TARGET/.

VITRAIL is the command-line program, which builds the engines. Needs numpy, pillow and onnx. Making them takes a few
seconds; a folder that this script filled with the same program is left as it is.
"""
import gzip
import hashlib
import json
import pathlib
import struct
import subprocess
import sys
import zlib

import numpy as np


def images(folder):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "preprocess"))
    import pillow_expected
    for path in pillow_expected.synthetic(folder / "made"):
        path.rename(folder / path.name)
    (folder / "made").rmdir()


def arrays(folder):
    rng = np.random.default_rng(0)
    for dtype in ("f4", "f8", "f2", "i1", "u1", "i8", "?"):
        np.save(folder / f"{dtype.replace('?', 'b')}.npy", rng.integers(0, 2, (2, 3)).astype(dtype))
    np.save(folder / "fortran.npy", np.asfortranarray(rng.normal(size=(2, 3, 4)).astype("f4")))
    np.save(folder / "scalar.npy", np.float32(1))
    np.savez(folder / "stored.npz", a=np.arange(3), b=np.ones((2, 2), "f4"))
    np.savez_compressed(folder / "deflated.npz", a=np.arange(30), b=np.zeros((20, 2), "f4"))


def model(nodes, weights, outputs=("y",), opset=17, functions=()):
    from onnx import TensorProto, helper, numpy_helper
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()])
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid("local", 1)] if functions else [])
    return helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=8)


def onnx_models(folder):
    import onnx
    from onnx import helper
    node = helper.make_node
    rng = np.random.default_rng(0)

    def weight(*shape):
        return rng.normal(size=shape).astype("f4")

    ints = lambda *values: np.array(values, "i8")
    vit = [node("Conv", ["x", "w", "b"], ["c"], strides=[4, 4], kernel_shape=[4, 4]),
           node("Reshape", ["c", "s0"], ["f"]), node("Transpose", ["f"], ["t"], perm=[0, 2, 1]),
           node("Add", ["t", "pos"], ["p"]),
           node("LayerNormalization", ["p", "g", "h"], ["n"], axis=-1),
           node("MatMul", ["n", "qkv"], ["m"]), node("Reshape", ["m", "s1"], ["r"]),
           node("Transpose", ["r"], ["rt"], perm=[2, 0, 3, 1, 4]),
           node("Split", ["rt"], ["q0", "k0", "v0"], axis=0),
           node("Squeeze", ["q0", "zero"], ["q"]), node("Squeeze", ["k0", "zero"], ["k"]),
           node("Squeeze", ["v0", "zero"], ["v"]), node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
           node("MatMul", ["q", "kt"], ["a"]), node("Mul", ["a", "scale"], ["as"]), node("Softmax", ["as"], ["sm"], axis=-1),
           node("MatMul", ["sm", "v"], ["av"]), node("Transpose", ["av"], ["at"], perm=[0, 2, 1, 3]),
           node("Reshape", ["at", "s2"], ["o"]), node("Add", ["o", "p"], ["res"]),
           node("Gather", ["res", "first"], ["cls"], axis=1), node("Gemm", ["cls", "head", "hb"], ["y"], transB=1)]
    weights = dict(w=weight(8, 3, 4, 4), b=weight(8), s0=ints(0, 8, -1), pos=weight(1, 4, 8), g=weight(8), h=weight(8),
                   qkv=weight(8, 24), s1=ints(0, 4, 3, 2, 4), zero=ints(0), scale=np.array(0.5, "f4"), s2=ints(0, 4, 8),
                   first=np.array(0, "i8"), head=weight(5, 8), hb=weight(5))
    onnx.save(model(vit, weights), folder / "vit.onnx")
    shapes = [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"]),
              node("ConstantOfShape", ["n1"], ["ones"]), node("Unsqueeze", ["n", "zero1"], ["nu"]),
              node("Concat", ["nu", "rest"], ["shape"], axis=0), node("Reshape", ["x", "shape"], ["r"]),
              node("Expand", ["token", "shape3"], ["e"]), node("Tile", ["e", "reps"], ["ti"]),
              node("Slice", ["r", "zero1", "five", "one"], ["sl"]), node("Pad", ["sl", "pads"], ["pa"]),
              node("ReduceMean", ["pa"], ["y"], axes=[1], keepdims=1), node("Range", ["zero", "seven", "uno"], ["ra"]),
              node("Cast", ["ra"], ["z"], to=1)]
    onnx.save(model(shapes, dict(zero=np.array(0, "i8"), zero1=ints(0), n1=ints(3), rest=ints(192), token=weight(1, 1, 4),
                                 shape3=ints(2, 3, 4), reps=ints(1, 2, 1), five=ints(5), one=ints(1), pads=ints(0, 1, 0, 1),
                                 seven=np.array(7, "i8"), uno=np.array(1, "i8")), outputs=("y", "z", "ti", "ones")),
              folder / "shapes.onnx")
    layers = [node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), node("BatchNormalization", ["c", "g", "h", "m", "v"], ["n"]),
              node("Relu", ["n"], ["r"]), node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
              node("Resize", ["p", "", "sc"], ["u"], mode="linear"), node("ConvTranspose", ["u", "tw"], ["t"], strides=[2, 2]),
              node("GlobalAveragePool", ["t"], ["y"])]
    onnx.save(model(layers, dict(w=weight(4, 3, 3, 3), g=weight(4), h=weight(4), m=weight(4), v=np.abs(weight(4)),
                                 sc=np.array([1, 1, 2, 2], "f4"), tw=weight(4, 2, 2, 2))), folder / "layers.onnx")
    quantized = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["d"]),
                 node("DequantizeLinear", ["wq", "ws"], ["wd"], axis=1), node("Reshape", ["d", "s0"], ["f"]),
                 node("MatMul", ["f", "wd"], ["y"])]
    onnx.save(model(quantized, dict(s=np.array(0.1, "f4"), z=np.array(3, "i1"), s0=ints(0, 192),
                                    wq=rng.integers(-9, 9, (192, 4)).astype("i1"), ws=np.abs(weight(4)))),
              folder / "quantized.onnx")
    function = helper.make_function("local", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])],
                                    [helper.make_opsetid("", 17)])
    onnx.save(model([node("Twice", ["x"], ["t"], domain="local"), node("Twice", ["t"], ["y"], domain="local")], {},
                    functions=[function]), folder / "function.onnx")
    external = model([node("Add", ["x", "big"], ["y"])], dict(big=weight(1, 3, 8, 8)))
    onnx.save(external, folder / "external.onnx", save_as_external_data=True, size_threshold=0, location="external.data")
    (folder / "external.data").unlink()
    return [folder / "vit.onnx", folder / "quantized.onnx"]


def safetensors(folder):
    width, hidden, patch, tokens = 4, 8, 8, 17

    def pack(name, config, shapes, dtype="F32"):
        size = {"F32": 4, "F16": 2}[dtype]
        header, at = {}, 0
        for key, shape in shapes.items():
            end = at + size * int(np.prod(shape))
            header[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
            at = end
        text, head = json.dumps(config).encode(), json.dumps(header).encode()
        (folder / name).write_bytes(struct.pack("<H", len(text)) + text + struct.pack("<Q", len(head)) + head + bytes(at))

    linear = lambda name, out, inner: {name + ".weight": (out, inner), name + ".bias": (out,)}
    norm = lambda name: {name + ".weight": (width,), name + ".bias": (width,)}
    layer = "vit.encoder.layer.0."
    vit = {"vit.embeddings.cls_token": (1, 1, width), "vit.embeddings.position_embeddings": (1, tokens, width),
           "vit.embeddings.patch_embeddings.projection.weight": (width, 3, patch, patch),
           "vit.embeddings.patch_embeddings.projection.bias": (width,),
           **{k: v for part in ("query", "key", "value") for k, v in linear(layer + "attention.attention." + part, width, width).items()},
           **linear(layer + "attention.output.dense", width, width), **linear(layer + "intermediate.dense", hidden, width),
           **linear(layer + "output.dense", width, hidden), **norm(layer + "layernorm_before"),
           **norm(layer + "layernorm_after"), **norm("vit.layernorm"), **linear("classifier", 2, width)}
    pack("vit", {"architectures": ["ViTForImageClassification"], "hidden_size": width, "num_hidden_layers": 1,
                 "num_attention_heads": 2, "intermediate_size": hidden, "image_size": 32, "patch_size": patch,
                 "id2label": {"0": "a", "1": "b"}}, vit)
    timm = {"cls_token": (1, 1, width), "pos_embed": (1, tokens, width), "patch_embed.proj.weight": (width, 3, patch, patch),
            "patch_embed.proj.bias": (width,), **linear("blocks.0.attn.qkv", 3 * width, width),
            **linear("blocks.0.attn.proj", width, width), **linear("blocks.0.mlp.fc1", hidden, width),
            **linear("blocks.0.mlp.fc2", width, hidden), **norm("blocks.0.norm1"), **norm("blocks.0.norm2"), **norm("norm"),
            **linear("head", 2, width)}
    pack("timm", {"architecture": "vit_tiny_patch16_224", "global_pool": "token",
                  "model_args": {"num_heads": 2, "img_size": 32}, "pretrained_cfg": {"input_size": [3, 32, 32]}}, timm, "F16")
    processor = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}, "size": {"shortest_edge": 256},
                 "do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "resample": 3,
                 "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "image_processor_type": "ViTImageProcessorFast"}
    pack("index", processor, {"a": (1,)})


def requests(folder):
    inputs = [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [[1, 2.5, -3e2]]},
              {"data": ["ab", "c"], "name": "y", "datatype": "BYTES", "shape": [2]},
              {"name": "z", "shape": [2], "datatype": "INT64", "data": [9007199254740993, -1]}]
    request = {"id": "7", "parameters": {"priority": 1, "timeout": 5, "binary_data_output": True}, "inputs": inputs,
               "outputs": [{"name": "o", "parameters": {"classification": 3, "binary_data": False}}]}
    (folder / "request.json").write_text(json.dumps(request))
    binary = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}},
                         {"name": "y", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}}]}
    (folder / "binary").write_bytes(json.dumps(binary).encode() + b"\n" + struct.pack("<fI", 1, 2) + b"ab")
    shared = {"shared_memory_region": "r", "shared_memory_byte_size": 4, "shared_memory_offset": 8}
    (folder / "shared.json").write_text(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "parameters": shared}]}))
    (folder / "target").write_text("/v2/models/a%20b/versions/1/classify?top=5&timeout=10")
    (folder / "config").write_text("max_batch_size: 8 version_policy { specific { versions: [1, 2] } } instance_group [{ count: 2 }] "
                                   "dynamic_batching { preferred_batch_size: [4] default_queue_policy { max_queue_size: 3 } } "
                                   "model_warmup { batch_size: 2 } parameters { key: \"threads\" value { string_value: \"2\" } }")
    (folder / "gzip").write_bytes(gzip.compress(json.dumps(request).encode(), mtime=0))
    (folder / "deflate").write_bytes(zlib.compress(json.dumps(request).encode()))
    (folder / "accept").write_text("deflate, gzip;q=0.5, *;q=0")
    (folder / "traceparent").write_text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    (folder / "trace.json").write_text('{"trace_level":["TIMESTAMPS"],"trace_rate":"1","trace_count":"5","log_frequency":null}')
    (folder / "log.json").write_text('{"log_info":false,"log_verbose_level":1,"log_format":"json"}')
    (folder / "trace-config").write_text("opentelemetry,resource=service.name=a")
    # TraceSettingRequest and LogSettingsRequest of one setting.
    (folder / "trace-message").write_bytes(b"\x0a\x11\x0a\x0atrace_rate\x12\x03\x0a\x019")
    (folder / "log-message").write_bytes(b"\x0a\x0e\x0a\x08log_info\x12\x02\x08\x01")
    # ModelInferRequest: model_name, one input FP32 [1] and its raw bytes.
    (folder / "message").write_bytes(b"\x0a\x01m\x2a\x0c\x0a\x01x\x12\x04FP32\x1a\x01\x01\x3a\x04\0\0\x80\x3f")


def main():
    folder, vitrail = pathlib.Path(sys.argv[1]), sys.argv[2]
    stamp = hashlib.sha256(pathlib.Path(__file__).read_bytes() + pathlib.Path(vitrail).read_bytes()).hexdigest()
    if (folder / "stamp").exists() and (folder / "stamp").read_text() == stamp:
        return
    for target in ("image", "infer", "npy", "onnx", "safetensors", "vtl"):
        (folder / target).mkdir(parents=True, exist_ok=True)
        for old in (folder / target).iterdir():
            if old.is_file():
                old.unlink()
    images(folder / "image")
    arrays(folder / "npy")
    safetensors(folder / "safetensors")
    requests(folder / "infer")
    for path in onnx_models(folder / "onnx"):
        subprocess.run([vitrail, "build", str(path), "-o", str(folder / "vtl" / (path.stem + ".vtl"))], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (folder / "stamp").write_text(stamp)


if __name__ == "__main__":
    main()
