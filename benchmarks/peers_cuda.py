#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Vitrail beside its peers on one GPU: one run, every batch size, taking turns in short bursts.

    peers.py MODEL.onnx --device cuda [--timm vit_base_patch16_224] [--vitrail build/bin/vitrail] [--batch 1,8,32,64,128]
             [--precisions fp32,tf32,fp16,fp8] [--peers eager-fp32,eager-fp16,compile-fp16,tensorrt-fp16] [--no-compile]
             [--tensorrt PROGRAM] [--cache DIR] [--prepare]
             [--input uint8] [--calibrate DIR] [--rounds 7] [--burst-seconds 0.5] [--json F] [--markdown F]

MODEL that does not exist is exported from timm with random weights of seed 0 (TorchScript, opset 17, dynamic batch).
Peers, each a process of its own that lives through one batch size:
  eager-fp32     PyTorch, eager, FP32 (TF32 off)
  eager-fp16     PyTorch, eager, weights and activations in FP16
  compile-fp16   torch.compile(mode="max-autotune") in FP16, which runs under CUDA graphs; slow to start, --no-compile
                 leaves it out
  tensorrt-fp32, tensorrt-fp16   where `import tensorrt` works; engine built for this batch size, under a CUDA graph.
                 --tensorrt names tensorrt_peer (benchmarks/tensorrt_peer.cpp) and its flags to be used instead; it gets
                 --timm at opset 16, because TensorRT 8.5 reads no LayerNormalization
  vitrail-*      its command line: `vitrail build` once a precision, `vitrail bench --json` a burst
--cache DIR keeps what is slow to make, tensorrt_peer's plans and what torch.compile found; --prepare only fills it.
A burst gives two times for each batch. Latency: host memory to host memory, input copied in and logits copied out, as an
application sees it. Compute: CUDA events around the network alone. Both are medians of the bursts' medians; ratios are
medians of the bursts' ratios, because the turns see the same clocks. Memory: what the process holds on the device as
nvidia-smi counts it, less a process that has only a CUDA context; for PyTorch also torch.cuda.max_memory_allocated.
"""
import json
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

import peers as common

PEERS = ("eager-fp32", "eager-fp16", "compile-fp16", "tensorrt-fp32", "tensorrt-fp16")
READY = "@vitrail-peer "  # before each answer: compilers print to stdout as well
START_SECONDS = 900


# --- the side of a peer's process -----------------------------------------------------------------------------------


class Torch:
    """A timm model on the GPU with pinned buffers on the host."""

    def __init__(self, spec, shape, half, compiled):
        import torch

        self.torch = torch
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        dtype = torch.float16 if half else torch.float32
        self.model = common.timm_model(spec).cuda().to(dtype)
        if compiled:
            self.model = torch.compile(self.model, mode="max-autotune", fullgraph=True, dynamic=False)
        self.host_in = torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(dtype).pin_memory()
        self.x = self.host_in.cuda()
        with torch.inference_mode():
            for _ in range(5):
                y = self.model(self.x)
        self.host_out = torch.empty(y.shape, dtype=y.dtype).pin_memory()
        torch.cuda.synchronize()
        self.version = f"pytorch {torch.__version__.split('+')[0]}"

    def __call__(self):
        """One batch: the time of the network alone in microseconds."""
        torch = self.torch
        with torch.inference_mode():
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            self.x.copy_(self.host_in, non_blocking=True)
            begin.record()
            y = self.model(self.x)
            end.record()
            self.host_out.copy_(y, non_blocking=True)
            torch.cuda.synchronize()
        return begin.elapsed_time(end) * 1e3

    def loop(self, count):
        """The same network `count` times with nothing in between, microseconds each: what eager mode cannot hide."""
        torch = self.torch
        with torch.inference_mode():
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            for _ in range(count):
                self.model(self.x)
            end.record()
            torch.cuda.synchronize()
        return begin.elapsed_time(end) * 1e3 / count

    def allocated(self):
        return self.torch.cuda.max_memory_allocated()


class TensorRt:
    """The ONNX model as a TensorRT engine for one batch size, launched as a CUDA graph; torch holds the memory."""

    def __init__(self, model, shape, half):
        import tensorrt as trt
        import torch

        self.torch = torch
        logger = trt.Logger(trt.Logger.ERROR)
        builder = trt.Builder(logger)
        flags = 0
        if hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH"):
            flags = 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
        network = builder.create_network(flags)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse_from_file(str(model)):
            raise RuntimeError(f"TensorRT does not read {model}: {parser.get_error(0)}")
        config = builder.create_builder_config()
        if half and hasattr(trt.BuilderFlag, "FP16"):
            config.set_flag(trt.BuilderFlag.FP16)
        elif half:
            raise RuntimeError("this TensorRT takes the precision from the model (strongly typed networks only)")
        if hasattr(trt.BuilderFlag, "TF32"):
            config.clear_flag(trt.BuilderFlag.TF32)
        profile = builder.create_optimization_profile()
        name = network.get_input(0).name
        profile.set_shape(name, shape, shape, shape)
        config.add_optimization_profile(profile)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise RuntimeError("TensorRT built no engine")
        self.runtime = trt.Runtime(logger)
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        self.context = self.engine.create_execution_context()
        self.context.set_input_shape(name, shape)
        out_name = network.get_output(0).name
        out_shape = tuple(self.context.get_tensor_shape(out_name))
        self.host_in = torch.randn(*shape, generator=torch.Generator().manual_seed(0)).pin_memory()
        self.x, self.y = self.host_in.cuda(), torch.empty(out_shape, device="cuda")
        self.host_out = torch.empty(out_shape).pin_memory()
        self.context.set_tensor_address(name, self.x.data_ptr())
        self.context.set_tensor_address(out_name, self.y.data_ptr())
        self.stream = torch.cuda.Stream()
        with torch.cuda.stream(self.stream):
            for _ in range(3):
                self.context.execute_async_v3(self.stream.cuda_stream)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.context.execute_async_v3(self.stream.cuda_stream)
        torch.cuda.synchronize()
        self.version = f"tensorrt {trt.__version__}"

    def __call__(self):
        torch = self.torch
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        with torch.cuda.stream(self.stream):
            self.x.copy_(self.host_in, non_blocking=True)
            begin.record()
            self.graph.replay()
            end.record()
            self.host_out.copy_(self.y, non_blocking=True)
        self.stream.synchronize()
        return begin.elapsed_time(end) * 1e3

    def loop(self, count):
        torch = self.torch
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        with torch.cuda.stream(self.stream):
            begin.record()
            for _ in range(count):
                self.graph.replay()
            end.record()
        self.stream.synchronize()
        return begin.elapsed_time(end) * 1e3 / count

    def allocated(self):
        return 0


def answer(value) -> None:
    print(READY + json.dumps(value), flush=True)


def worker(args) -> None:
    shape = tuple(args.shape)
    try:
        if args.worker == "bare":
            import torch

            torch.cuda.init()
            torch.cuda.synchronize()
            answer({"runner": "bare context"})
            sys.stdin.read()
            return
        kind, _, precision = args.worker.partition("-")
        half = precision == "fp16"
        run = TensorRt(args.model, shape, half) if kind == "tensorrt" else Torch(args.timm, shape, half, kind == "compile")
    except Exception as error:  # the parent prints why this peer is left out
        traceback.print_exc()
        answer({"error": f"{type(error).__name__}: {error}"[:300].replace("\n", " ")})
        return
    answer({"runner": run.version})
    for line in sys.stdin:
        latency, compute = [], []
        for _ in range(int(line)):
            start = time.perf_counter_ns()
            compute.append(run())
            latency.append((time.perf_counter_ns() - start) / 1e3)
        answer({"latency": latency, "compute": compute, "loop": run.loop(max(1, int(line))), "allocated": run.allocated()})


# --- the side that measures -----------------------------------------------------------------------------------------


def smi(query: str) -> list:
    out = subprocess.run(["nvidia-smi", f"--query-{query}", "--format=csv,noheader,nounits"], capture_output=True, text=True)
    return [[cell.strip() for cell in row.split(",")] for row in out.stdout.splitlines() if row.strip()]


def used_mib() -> int:
    """Device memory in use, of all processes: containers hide which process holds what."""
    rows = smi("gpu=memory.used")
    return int(float(rows[0][0])) if rows else 0


def peer_command(name, args, shape) -> list:
    kind, _, precision = name.partition("-")
    if kind == "tensorrt" and args.tensorrt:
        command = [*args.tensorrt, str(args.tensorrt_model), "--precision", precision, "--shape", *map(str, shape)]
        if args.cache:
            command += ["--plan", str(args.cache / f"{args.tensorrt_model.stem}-{precision}-{shape[0]}.plan")]
        return command
    return [sys.executable, str(pathlib.Path(__file__).with_name("peers.py")), str(args.model), "--device", "cuda",
            "--worker", name, "--timm", args.timm, "--shape", *map(str, shape)]


class Peer:
    """Started and stopped around its memory reading, then kept for its bursts."""

    def __init__(self, name, args, shape):
        self.name = name
        command = peer_command(name, args, shape)
        environment = dict(os.environ)
        if args.cache:
            environment["TORCHINDUCTOR_CACHE_DIR"] = str(args.cache.absolute() / "inductor")
        before = used_mib()
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env=environment)
        try:
            first = self.read()
        except RuntimeError:
            self.close()
            raise
        if "error" in first:
            self.close()
            raise RuntimeError(first["error"])
        self.runner = first["runner"]
        self.label = self.runner if name == "bare" else f"{self.runner} {name}"
        self.precision = name.rpartition("-")[2]
        if name != "bare":
            self.burst(3)
        self.device_bytes = (used_mib() - before) << 20  # less the bare context's, by the caller
        self.allocated = 0

    def read(self):
        for line in self.process.stdout:
            if line.startswith(READY):
                return json.loads(line[len(READY):])
        self.errors.seek(0)
        raise RuntimeError(f"{self.name} ended: {self.errors.read()[-300:]}")

    def burst(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        got = self.read()
        self.allocated = got["allocated"]
        return {"latency": got["latency"], "compute": got["compute"], "loop": got["loop"]}

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Vitrail:
    """A process a burst; the engine says itself what it holds on the device."""

    def __init__(self, args, precision, batch, engine):
        self.args, self.precision, self.batch, self.engine = args, precision, batch, engine
        version = subprocess.run([args.vitrail, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        self.runner, self.label = version, f"{version} {precision}" + (" uint8" if args.input == "uint8" else "")
        self.device_bytes = self.allocated = 0

    def burst(self, count):
        with tempfile.NamedTemporaryFile(suffix=".json") as times:
            command = [self.args.vitrail, "bench", str(self.engine), "--batch", str(self.batch), "--warm-up", "20", "--iterations",
                       str(count), "--export-times", times.name, "--json"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr.strip()[-300:])
            result = json.loads(done.stdout)["results"][0]
            rows = json.load(open(times.name))
        self.device_bytes = result.get("device_bytes") or 0
        compute = [row["computeMs"] * 1e3 for row in rows]
        return {"latency": [row["latencyMs"] * 1e3 for row in rows], "compute": compute, "loop": statistics.median(compute)}

    def close(self):
        pass


def spread(values) -> dict:
    ordered = sorted(values)

    def percentile(p):
        return ordered[max(len(ordered) - 1 - int((1 - p / 100) * len(ordered)), 0)]

    return {"mean_us": statistics.mean(values), "median_us": statistics.median(values), "p90_us": percentile(90), "p95_us": percentile(95),
            "p99_us": percentile(99), "min_us": ordered[0], "max_us": ordered[-1], "stddev_us": statistics.pstdev(values)}


def row_of(runner, bursts, batch, ours):
    mine = bursts[runner.label]
    latency = statistics.median(statistics.median(b["latency"]) for b in mine)
    compute = statistics.median(statistics.median(b["compute"]) for b in mine)
    loop = statistics.median(b["loop"] for b in mine)

    def ratio(kind):
        if ours not in bursts:
            return None
        return statistics.median(statistics.median(m[kind]) / statistics.median(o[kind]) for m, o in zip(mine, bursts[ours]))

    times = spread([t for b in mine for t in b["latency"]])
    computes = spread([t for b in mine for t in b["compute"]])
    return {"batch": batch, "streams": 1, "threads": 1, "iterations": sum(len(b["latency"]) for b in mine), **times, "median_us": latency,
            "images_per_second": batch * 1e6 / latency,
            "device": {"h2d": None, "compute": {**computes, "median_us": compute}, "d2h": None, "images_per_second": batch * 1e6 / compute,
                       "loop_us": loop},
            "device_bytes": runner.device_bytes or None, "allocated_bytes": runner.allocated or None, "vitrail_speed_up": ratio("latency"),
            "vitrail_compute_speed_up": ratio("compute")}


def input_shape(args, batch):
    try:
        return common.input_shape(args.model, batch)
    except ImportError:  # no onnx there: every model here is made for 224 × 224
        return [batch, 3, 224, 224]


def bare_context_bytes(args, shape) -> int:
    try:
        bare = Peer("bare", args, shape)
    except RuntimeError as error:
        print(f"the memory of a bare context is not known: {error}", file=sys.stderr)
        return 0
    bare.close()
    return bare.device_bytes


def measure(args, batch, engines, left_out):
    shape = input_shape(args, batch)
    runners = []
    try:
        bare_bytes = bare_context_bytes(args, shape)
        for precision, engine in engines.items():
            runners.append(Vitrail(args, precision, batch, engine))
        for name in args.peers:
            if name in left_out:
                continue
            try:
                runners.append(Peer(name, args, shape))
                runners[-1].device_bytes = max(0, runners[-1].device_bytes - bare_bytes)
            except RuntimeError as error:
                print(f"{name} left out at batch {batch}: {error}", file=sys.stderr)
                if "No module named" in str(error):
                    left_out.add(name)
        counts = {}
        for r in list(runners):  # warm up, and find out how many iterations make a burst
            try:
                once = statistics.median(r.burst(5)["latency"])
                counts[r.label] = max(5, min(2000, int(args.burst_seconds * 1e6 / once)))
            except RuntimeError as error:
                print(f"{r.label} left out at batch {batch}: {error}", file=sys.stderr)
                r.close()
                runners.remove(r)
        bursts = {r.label: [] for r in runners}
        for turn in range(args.rounds):
            at = turn % max(len(runners), 1)
            for r in runners[at:] + runners[:at]:
                bursts[r.label].append(r.burst(counts[r.label]))
        ours = next((r.label for r in runners if isinstance(r, Vitrail) and r.precision == "fp16"),
                    next((r.label for r in runners if isinstance(r, Vitrail)), ""))
        return [(r, row_of(r, bursts, batch, ours)) for r in runners]
    finally:
        for r in runners:
            r.close()


def prepare(args, batch) -> None:
    """Starts every peer once, so that the next run finds what it made in --cache."""
    for name in args.peers:
        start = time.time()
        try:
            Peer(name, args, input_shape(args, batch)).close()
            print(f"{name} batch {batch}: {time.time() - start:.0f} s", file=sys.stderr)
        except RuntimeError as error:
            print(f"{name} batch {batch}: {error}", file=sys.stderr)


def build_engines(args, batches, folder):
    engines, seconds = {}, {}
    for precision in args.precisions:
        path = folder / f"{precision}.vtl"
        command = [args.vitrail, "build", str(args.model), "-o", str(path), "--backend", "cuda", "--precision", precision, "--profile",
                   f"1:{min(32, max(batches))}:{max(batches)}", "--workspace", "8GiB", "--input", args.input, "--json"]
        if args.calibrate and precision == "fp8":
            command += ["--calibrate", args.calibrate]
        start = time.time()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"vitrail {precision} left out: {done.stderr.strip()[-300:]}", file=sys.stderr)
            continue
        for warning in json.loads(done.stdout)["warnings"]:
            print(f"vitrail {precision}: {warning}", file=sys.stderr)
        engines[precision], seconds[precision] = path, time.time() - start
    return engines, seconds


def machine() -> dict:
    rows = smi("gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit")
    gpu = dict(zip(("name", "driver", "memory_mib", "clock_mhz", "max_clock_mhz", "power_limit_w"), rows[0])) if rows else {}
    return {"cpu": common.cpu_name(), "cores": os.cpu_count(), "gpu": gpu}


def markdown(runs, args, gpu, seconds) -> str:
    rows = [f"### {args.title or args.model.name} on {gpu.get('name', 'a GPU')}", "",
            f"Driver {gpu.get('driver', '?')}; {time.strftime('%Y-%m-%d')}; {args.rounds} interleaved bursts of about {args.burst_seconds:g} s "
            f"each; Vitrail's input {args.input}. Built in: " + (", ".join(f"{p} {s:.0f} s" for p, s in seconds.items()) or "–") + ".", "",
            "Latency: host to host. Compute: CUDA events around the network. Memory: on the device above a bare context.", "",
            "| program | batch | latency ms | images/s | compute ms | images/s by compute | Vitrail is faster by | device MiB |",
            "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for label, results in runs.items():
        for r in results["results"]:
            ratio = "–" if r["vitrail_compute_speed_up"] is None or label.startswith("vitrail") else f"{r['vitrail_compute_speed_up']:.2f}×"
            memory = f"{r['device_bytes'] / 2**20:.0f}" if r["device_bytes"] else "–"
            rows.append(f"| {label} | {r['batch']} | {r['median_us'] / 1e3:.3f} | {r['images_per_second']:.0f} | "
                        f"{r['device']['compute']['median_us'] / 1e3:.3f} | {r['device']['images_per_second']:.0f} | {ratio} | {memory} |")
    rows += ["", "“Faster by” compares compute with Vitrail's FP16 engine (the first of its engines when there is none)."]
    return "\n".join(rows) + "\n"


def arguments():
    parser = common.argument_parser(__doc__, PEERS, devices=["cuda"], batch="1,8,32,64,128", burst_seconds=0.5,
                                    timm="vit_base_patch16_224")
    parser.add_argument("--precisions", default="fp32,tf32,fp16,fp8", type=lambda s: [p for p in s.split(",") if p])
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile, which takes minutes")
    parser.add_argument("--tensorrt", default=[], type=shlex.split, help="tensorrt_peer and its flags, for the peers of that name")
    parser.add_argument("--cache", type=pathlib.Path, help="folder for what is slow to make")
    parser.add_argument("--prepare", action="store_true", help="fill --cache, measure nothing")
    parser.add_argument("--input", choices=["float32", "uint8"], default="float32", help="of Vitrail's engines")
    parser.add_argument("--calibrate", default="", help="folder of images for Vitrail's fp8")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    if args.worker:
        worker(args)
        return 0
    common.check_peers(args, PEERS)
    if args.no_compile:
        args.peers = [p for p in args.peers if not p.startswith("compile")]
    if args.prepare and not args.cache:
        sys.exit("--prepare needs --cache DIR")
    if args.tensorrt and not shutil.which(args.tensorrt[0]):
        sys.exit(f"{args.tensorrt[0]} is no program")
    if args.cache:
        args.cache.mkdir(parents=True, exist_ok=True)
    if not args.model.exists():
        print(f"exporting {args.timm} to {args.model}", file=sys.stderr)
        common.export(args.timm, args.model)
    batches = [int(b) for b in args.batch.split(",")]
    if args.tensorrt and any(name.startswith("tensorrt") for name in args.peers):
        args.tensorrt_model = (args.cache or args.model.parent) / f"{args.timm.replace(':', '.')}.opset16.onnx"
        if not args.tensorrt_model.exists():
            common.export(args.timm, args.tensorrt_model, opset=16)
    if args.prepare:
        for batch in batches:
            prepare(args, batch)
        return 0
    runs, left_out, where = {}, set(), machine()
    with tempfile.TemporaryDirectory() as folder:
        engines, seconds = build_engines(args, batches, pathlib.Path(folder))
        for batch in batches:
            for runner, row in measure(args, batch, engines, left_out):
                run = runs.setdefault(runner.label, {
                    "schema": "vitrail.bench/1", "kind": "bench", "label": runner.label, "runner": runner.runner, "model": args.model.name,
                    "backend": "cuda", "precision": runner.precision, "machine": where, "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    "results": []})
                run["results"].append(row)
                print(f"{runner.label:32} batch {batch:3}: {row['median_us'] / 1e3:9.3f} ms  {row['images_per_second']:8.1f} images/s  compute "
                      f"{row['device']['compute']['median_us'] / 1e3:8.3f} ms  {(row['device_bytes'] or 0) / 2**20:6.0f} MiB", file=sys.stderr)
            # Kept after every batch size: a machine on loan may go at any time.
            if args.json:
                args.json.write_text(json.dumps({"peers": list(runs.values())}, indent=2))
            if args.markdown:
                args.markdown.write_text(markdown(runs, args, where["gpu"], seconds))
    print(markdown(runs, args, where["gpu"], seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
