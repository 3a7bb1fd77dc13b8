#!/usr/bin/env python3
"""Vitrail beside its peers on one ONNX model: one run, the same threads, interleaved.

    peers.py MODEL.onnx --vitrail build/bin/vitrail [--batch 1,8,32] [--threads 2] [--rounds 7]
             [--peers onnxruntime,openvino,pytorch] [--timm NAME[:key=value,…]] [--quantize] [--isa NAME] [--json F] [--markdown F]
    peers.py MODEL.onnx --device cuda …     on a GPU: peers_cuda.py, which says what it takes

Every program is a process of its own for every batch size; they take turns in short bursts, so that a machine that
slows down slows all of them. The figure of a program is the median over its bursts of the burst's median; ratios are
medians of the bursts' ratios. Peak resident memory is the process's VmHWM. MODEL may be absent when --timm names the
architecture: it is then exported with random weights of seed 0 (TorchScript, opset 17, dynamic batch). PyTorch runs
eagerly and needs --timm, because ONNX cannot be run by it.

A MODEL with Q/DQ pairs is built and compared in INT8; each program is told to compute what the pairs leave over in FP32.
--quantize makes such a file of MODEL first, beside it: ONNX Runtime's quantize_static, MatMul and Gemm, U8S8, one scale a
channel of the weights, ranges from random images, which is enough to measure speed. --isa holds Vitrail to an instruction
set; OpenVINO is held to one by ONEDNN_MAX_CPU_ISA in the environment, ONNX Runtime by nothing of its own.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

PEERS = ("onnxruntime", "openvino", "pytorch")


def timm_model(spec: str):
    import timm
    import torch

    name, _, rest = spec.partition(":")
    options = dict(pair.split("=") for pair in rest.split(",") if pair)
    torch.manual_seed(0)
    return timm.create_model(name, pretrained=False, **{k: int(v) for k, v in options.items()}).eval()


def export(spec: str, path: pathlib.Path, opset: int = 17) -> None:
    import torch

    model = timm_model(spec)
    size = model.patch_embed.img_size if hasattr(model, "patch_embed") else (224, 224)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(model, (torch.zeros(2, 3, *size),), str(path), dynamo=False, opset_version=opset, input_names=["input"],
                      output_names=["logits"], dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}})


def quantize(model: pathlib.Path) -> pathlib.Path:
    import numpy
    from onnxruntime import quantization

    made = model.with_suffix(".u8s8.onnx")
    if made.exists():
        return made
    random = numpy.random.default_rng(0)
    images = iter([random.standard_normal(input_shape(model, 1), dtype=numpy.float32) for _ in range(4)])
    name = input_of(model).name

    class Images(quantization.CalibrationDataReader):
        def get_next(self):
            image = next(images, None)
            return None if image is None else {name: image}

    quantization.quantize_static(model, made, Images(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
                                 op_types_to_quantize=["MatMul", "Gemm"], activation_type=quantization.QuantType.QUInt8,
                                 weight_type=quantization.QuantType.QInt8)
    return made


def is_quantized(model: pathlib.Path) -> bool:
    import onnx

    return any(node.op_type == "DequantizeLinear" for node in onnx.load(model, load_external_data=False).graph.node)


# --- the side of a peer's process -----------------------------------------------------------------------------------


def onnxruntime_runner(args, shape):
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    x = numpy.random.default_rng(0).standard_normal(shape, dtype=numpy.float32)
    return lambda: session.run(None, {name: x}), f"onnxruntime {onnxruntime.__version__}"


def openvino_runner(args, shape):
    import numpy
    import openvino

    core = openvino.Core()
    model = core.read_model(args.model)
    model.reshape(list(shape))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": args.threads, "NUM_STREAMS": 1,
                                                 "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False})
    request = compiled.create_infer_request()
    x = numpy.random.default_rng(0).standard_normal(shape, dtype=numpy.float32)
    return lambda: request.infer({0: x}, share_inputs=True, share_outputs=True), f"openvino {openvino.__version__.split('-')[0]}"


def pytorch_runner(args, shape):
    import torch

    torch.set_num_threads(args.threads)
    model = timm_model(args.timm)
    x = torch.randn(*shape)

    def run():
        with torch.inference_mode():
            model(x)

    return run, f"pytorch {torch.__version__.split('+')[0]}"


def peak_rss() -> int:
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def worker(args) -> None:
    shape = tuple(args.shape)
    run, version = {"onnxruntime": onnxruntime_runner, "openvino": openvino_runner, "pytorch": pytorch_runner}[args.worker](args, shape)
    print(json.dumps({"runner": version}), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter_ns()
            run()
            times.append((time.perf_counter_ns() - start) / 1e3)
        print(json.dumps({"times": times, "rss": peak_rss()}), flush=True)


# --- the side that measures -----------------------------------------------------------------------------------------


class Peer:
    def __init__(self, name, args, shape):
        command = [sys.executable, __file__, str(args.model), "--worker", name, "--threads", str(args.threads),
                   "--shape", *map(str, shape)]
        if args.timm:
            command += ["--timm", args.timm]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True, env={**os.environ, "OMP_NUM_THREADS": str(args.threads)})
        first = self.process.stdout.readline()
        if not first:
            raise RuntimeError(f"{name} did not start; is it installed in {sys.executable}?")
        self.label = json.loads(first)["runner"]
        self.rss = 0

    def burst(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        self.rss = answer["rss"]
        return answer["times"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Vitrail:
    """A process a burst: the engine loads in milliseconds, and `bench` times only what runs after that."""

    def __init__(self, args, batch, engine):
        self.args, self.batch, self.engine = args, batch, engine
        version = subprocess.run([args.vitrail, "--version"], capture_output=True, text=True, check=True)
        self.label = version.stdout.strip()
        self.rss = 0

    def burst(self, count):
        with tempfile.NamedTemporaryFile(suffix=".json") as times:
            command = [self.args.vitrail, "bench", str(self.engine), "--batch", str(self.batch), "--threads",
                       str(self.args.threads), "--warm-up", "2", "--iterations", str(count), "--export-times", times.name, "--json"]
            if self.args.isa:
                command += ["--isa", self.args.isa]
            result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            self.rss = max(self.rss, result["results"][0]["peak_rss_bytes"])
            return [row["latencyMs"] * 1e3 for row in json.load(open(times.name))]

    def close(self):
        pass


def input_of(model: pathlib.Path):
    import onnx

    return onnx.load(model, load_external_data=False).graph.input[0]


def input_shape(model: pathlib.Path, batch: int):
    dims = input_of(model).type.tensor_type.shape.dim
    return [batch] + [d.dim_value or 224 for d in dims[1:]]


def measure(args, batch, engine):
    shape = input_shape(args.model, batch)
    runners = [Vitrail(args, batch, engine)] + [Peer(name, args, shape) for name in args.peers]
    bursts = {r.label: [] for r in runners}
    try:
        counts = {}
        for r in runners:  # warm up, and find out how many iterations make a burst
            once = statistics.median(r.burst(3))
            counts[r.label] = max(2, min(200, int(args.burst_seconds * 1e6 / once)))
        for turn in range(args.rounds):
            for r in runners[turn % len(runners):] + runners[:turn % len(runners)]:
                time.sleep(0.2)  # lets the threads of the one before stop spinning
                bursts[r.label].append(r.burst(counts[r.label]))
        return [result(r, bursts, runners[0].label, batch, args.threads) for r in runners]
    finally:
        for r in runners:
            r.close()


def result(runner, bursts, ours, batch, threads):
    times = sorted(t for burst in bursts[runner.label] for t in burst)
    medians = [statistics.median(b) for b in bursts[runner.label]]
    ratio = statistics.median(m / statistics.median(o) for m, o in zip(medians, bursts[ours]))

    def percentile(p):
        return times[max(len(times) - 1 - int((1 - p / 100) * len(times)), 0)]

    median = statistics.median(medians)
    return runner.label, {
        "batch": batch, "streams": 1, "threads": threads, "iterations": len(times), "mean_us": statistics.mean(times),
        "median_us": median, "p90_us": percentile(90), "p95_us": percentile(95), "p99_us": percentile(99),
        "min_us": times[0], "max_us": times[-1], "images_per_second": batch * 1e6 / median,
        "peak_rss_bytes": runner.rss, "vitrail_speed_up": ratio}


def cpu_name() -> str:
    lines = open("/proc/cpuinfo").read().splitlines()
    fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines) if k.strip()}
    flags = [f for f in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8") if f in fields.get("flags", "").split()]
    return f"{fields.get('model name', platform.machine())} (family {fields.get('cpu family')}, model {fields.get('model')}; {', '.join(flags)})"


def markdown(runs, args, size) -> str:
    ours = next(iter(runs))
    rows = [f"### {args.title or args.model.name}, {args.threads} threads, {args.precision.upper()}", "",
            f"{cpu_name()}, {os.cpu_count()} cores; {time.strftime('%Y-%m-%d')}; {args.rounds} interleaved bursts of about "
            f"{args.burst_seconds:g} s each; model file {size / 2**20:.0f} MiB.", "",
            "| program | batch | median ms | images/s | Vitrail is faster by | peak resident MiB |",
            "|---|---:|---:|---:|---:|---:|"]
    for label, results in runs.items():
        for r in results:
            ratio = "–" if label == ours else f"{r['vitrail_speed_up']:.2f}×"
            rows.append(f"| {label} | {r['batch']} | {r['median_us'] / 1e3:.2f} | {r['images_per_second']:.1f} | {ratio} | "
                        f"{r['peak_rss_bytes'] / 2**20:.0f} |")
    return "\n".join(rows) + "\n"


def argument_parser(doc, peers, *, devices, batch, burst_seconds, timm=""):
    """What both devices' comparisons take; peers_cuda.py adds its own."""
    def names(text):
        return [name for name in text.split(",") if name]

    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--device", choices=devices, default=devices[0])
    parser.add_argument("--vitrail", default="build/bin/vitrail")
    parser.add_argument("--batch", default=batch)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--burst-seconds", type=float, default=burst_seconds)
    parser.add_argument("--peers", default=",".join(peers), type=names)
    parser.add_argument("--timm", default=timm)
    parser.add_argument("--title", default="")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--markdown", type=pathlib.Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs="*", help=argparse.SUPPRESS)
    return parser


def check_peers(args, known) -> None:
    if unknown := set(args.peers) - set(known):
        sys.exit(f"unknown peers {sorted(unknown)}; known: {', '.join(known)}")


def arguments():
    parser = argument_parser(__doc__, PEERS, devices=["cpu", "cuda"], batch="1,8,32", burst_seconds=1.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quantize", action="store_true")
    parser.add_argument("--isa", default="", help="instruction set of Vitrail (default: the best here)")
    return parser.parse_args()


def main() -> int:
    if "--device" in sys.argv and sys.argv[sys.argv.index("--device") + 1:][:1] == ["cuda"] or "--device=cuda" in sys.argv:
        import peers_cuda

        return peers_cuda.main()
    args = arguments()
    if args.worker:
        worker(args)
        return 0
    check_peers(args, PEERS)
    if "pytorch" in args.peers and not args.timm:
        print("pytorch left out: it needs --timm NAME", file=sys.stderr)
        args.peers.remove("pytorch")
    if not args.model.exists():
        if not args.timm:
            sys.exit(f"{args.model} does not exist and no --timm says how to make it")
        subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r}); import pathlib, peers; "
                        f"peers.export({args.timm!r}, pathlib.Path({str(args.model)!r}))"], check=True)
    if args.quantize:
        args.model = quantize(args.model)
    args.precision = "int8" if is_quantized(args.model) else "fp32"
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        engine = pathlib.Path(folder) / "engine.vtl"
        batches = [int(b) for b in args.batch.split(",")]
        subprocess.run([args.vitrail, "build", str(args.model), "-o", str(engine), "--precision", args.precision,
                        "--profile", f"1:{min(8, max(batches))}:{max(batches)}", "--workspace", "8GiB", "--json"], check=True, stdout=subprocess.DEVNULL)
        for batch in batches:
            for label, row in measure(args, batch, engine):
                runs.setdefault(label, []).append(row)
                print(f"{label:24} batch {batch:3}: {row['median_us'] / 1e3:9.2f} ms  {row['images_per_second']:7.1f} images/s  "
                      f"vitrail ×{row['vitrail_speed_up']:.2f}  {row['peak_rss_bytes'] / 2**20:6.0f} MiB", file=sys.stderr)
    size = args.model.stat().st_size
    text = markdown(runs, args, size)
    print(text)
    if args.markdown:
        args.markdown.write_text(text)
    if args.json:
        args.json.write_text(json.dumps({"peers": [
            {"label": label, "runner": label, "model": args.model.name, "backend": label.split()[0], "precision": args.precision,
             "machine": {"cpu": cpu_name(), "cores": os.cpu_count()}, "results": results} for label, results in runs.items()]}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
