// SPDX-License-Identifier: Apache-2.0
// Speed of the CPU kernels at the shapes of ViT-B/16 and ViT-S, with the share of this machine's measured
// multiply-add peak. VITRAIL_ISA and VITRAIL_THREADS choose what runs (default: the best, all cores).
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>

#include "backends/cpu/kernels/kernels.h"

namespace vitrail::cpu {
namespace {

int threads() {
  const char* text = std::getenv("VITRAIL_THREADS");
  return text ? std::atoi(text) : available_cores();
}

const Kernels& kernels() {
  const char* name = std::getenv("VITRAIL_ISA");
  const Result<Isa> isa = isa_from_name(name ? name : "");
  if (isa.ok()) return kernels_for(*isa);
  std::fprintf(stderr, "%s\n", isa.status().message().c_str());
  std::exit(2);
}

double peak() {
  static const double value = measure_fma_peak_gflops(threads());
  return value;
}

ThreadPool& pool() {
  static ThreadPool value(threads());
  return value;
}

struct Free {
  void operator()(float* p) const { operator delete[](p, std::align_val_t{64}); }
};
using Buffer = std::unique_ptr<float[], Free>;

Buffer buffer(size_t count) {
  Buffer b(new (std::align_val_t{64}) float[count]);
  for (size_t i = 0; i < count; ++i) b[i] = static_cast<float>(i * 7919 % 2003) * 1e-3f - 1.0f;
  return b;
}

void report(benchmark::State& state, double flops) {
  const double rate = flops * static_cast<double>(state.iterations()) * 1e-9;
  state.counters["GFLOP/s"] = benchmark::Counter(rate, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = benchmark::Counter(rate / peak(), benchmark::Counter::kIsRate);
}

void gemm_case(benchmark::State& state) {
  const int64_t m = state.range(0);
  const int64_t k = state.range(1);
  const int64_t n = state.range(2);
  const Buffer a = buffer(static_cast<size_t>(m * k));
  const Buffer w = buffer(static_cast<size_t>(k * n));
  const Buffer packed = buffer(packed_floats(k, n));
  const Buffer bias = buffer(static_cast<size_t>(n));
  const Buffer c = buffer(static_cast<size_t>(m * n));
  const Buffer scratch = buffer(gemm_scratch_floats(m, n, k, threads()));
  pack_b(w.get(), k, n, n, packed.get());
  GemmArgs args{};
  args.a = a.get(), args.lda = k, args.b_packed = packed.get(), args.bias = bias.get();
  args.c = c.get(), args.ldc = n, args.m = m, args.n = n, args.k = k;
  args.activation = static_cast<Activation>(state.range(3));
  for (auto _ : state) gemm(kernels(), pool(), args, scratch.get());
  report(state, 2.0 * static_cast<double>(m * n * k));
}

void gemm_shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "k", "n", "act"});
  const auto gelu = static_cast<int64_t>(Activation::kGeluErf);
  for (const int64_t batch : {1, 8, 32}) {
    for (const int64_t width : {768, 384}) {
      const int64_t m = batch * (width == 768 ? 197 : 257);
      b->Args({m, width, 3 * width, 0})->Args({m, width, width, 0});
      b->Args({m, width, 4 * width, gelu})->Args({m, 4 * width, width, 0});
    }
  }
}
BENCHMARK(gemm_case)->Name("gemm")->Apply(gemm_shapes)->UseRealTime()->Unit(benchmark::kMicrosecond);

void attention_case(benchmark::State& state) {
  AttentionArgs a{};
  a.batch = state.range(0), a.heads = state.range(1), a.sq = a.sk = state.range(2), a.d = a.dv = 64;
  const int64_t width = a.heads * a.d;
  const Buffer qkv = buffer(static_cast<size_t>(a.batch * a.sq * 3 * width));
  const Buffer out = buffer(static_cast<size_t>(a.batch * a.sq * width));
  a.q = qkv.get(), a.k = a.q + width, a.v = a.k + width;
  a.q_row = a.k_row = a.v_row = 3 * width;
  a.q_batch = a.k_batch = a.v_batch = a.sq * 3 * width;
  a.out = out.get(), a.out_row = width, a.out_batch = a.sq * width, a.scale = 0.125f;
  const Buffer scratch = buffer(attention_scratch_floats(a, threads()));
  for (auto _ : state) attention(kernels(), pool(), a, scratch.get());
  report(state, 4.0 * static_cast<double>(a.batch * a.heads * a.sq * a.sk * a.d));
}
BENCHMARK(attention_case)
    ->Name("attention")
    ->ArgNames({"batch", "heads", "tokens"})
    ->Args({1, 12, 197})
    ->Args({8, 12, 197})
    ->Args({1, 6, 257})
    ->Args({1, 12, 1025})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

// Against the same peak of float multiply-adds, which VNNI can exceed fourfold.
void integer_gemm_case(benchmark::State& state) {
  const int64_t m = state.range(0), k = state.range(1), n = state.range(2);
  const Buffer a = buffer(static_cast<size_t>(m * k / 4)), c = buffer(static_cast<size_t>(m * n));
  const Buffer scale = buffer(static_cast<size_t>(n)), bias = buffer(static_cast<size_t>(n));
  const Buffer b = buffer(packed_bytes(k, n) / 4), start = buffer(static_cast<size_t>(n + 16));
  const Buffer scratch = buffer(integer_gemm_scratch_bytes(m, n, k, threads()) / 4);
  IntegerGemmArgs args{};
  args.a = reinterpret_cast<uint8_t*>(a.get()), args.lda = k;
  args.b_packed = reinterpret_cast<int8_t*>(b.get());
  args.start = reinterpret_cast<int32_t*>(start.get());
  args.scale = scale.get(), args.bias = bias.get();
  args.c = c.get(), args.ldc = n;
  if (state.range(3) > 0) args.q = reinterpret_cast<uint8_t*>(c.get()), args.bytes = {0.1f, 20, 0};
  if (state.range(3) > 1) args.activation = Activation::kGeluErf;
  args.m = m, args.n = n, args.k = k;
  for (auto _ : state) integer_gemm(kernels(), pool(), args, reinterpret_cast<uint8_t*>(scratch.get()));
  report(state, 2.0 * static_cast<double>(m * n * k));
}
BENCHMARK(integer_gemm_case)
    ->Name("integer_gemm")
    ->ArgNames({"m", "k", "n", "out"})  // 0 floats, 1 bytes, 2 bytes of GELU
    ->Args({197, 768, 768, 0})
    ->Args({197, 768, 2304, 0})
    ->Args({197, 768, 3072, 0})
    ->Args({197, 768, 3072, 1})
    ->Args({197, 768, 3072, 2})
    ->Args({197, 3072, 768, 0})
    ->Args({1, 768, 3072, 2})
    ->Args({788, 768, 3072, 2})
    ->Args({788, 3072, 768, 0})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void layer_norm_case(benchmark::State& state) {
  const int64_t rows = state.range(0);
  const int64_t cols = state.range(1);
  const Buffer x = buffer(static_cast<size_t>(rows * cols));
  const Buffer y = buffer(static_cast<size_t>(rows * cols));
  const Buffer gamma = buffer(static_cast<size_t>(cols));
  for (auto _ : state)
    layer_norm(kernels(), pool(), x.get(), gamma.get(), gamma.get(), 1e-6f, rows, cols, y.get());
  state.SetBytesProcessed(state.iterations() * rows * cols * 8);
}
BENCHMARK(layer_norm_case)
    ->Name("layer_norm")
    ->Args({197, 768})
    ->Args({6304, 768})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

// The decoder of the demo's saliency model: 4x4, stride 2, padding 1.
void conv_transpose_case(benchmark::State& state) {
  ConvArgs a{};
  a.batch = 1, a.in_channels = state.range(0), a.out_channels = state.range(1), a.groups = 1;
  a.height = a.width = state.range(2), a.out_height = a.out_width = 2 * a.height;
  a.kh = a.kw = 4, a.sh = a.sw = 2, a.pad_top = a.pad_left = 1;
  const Buffer x = buffer(static_cast<size_t>(a.in_channels * a.height * a.width));
  const Buffer w = buffer(static_cast<size_t>(a.in_channels * a.out_channels * 16));
  const Buffer arranged = buffer(static_cast<size_t>(a.in_channels * a.out_channels * 16));
  const Buffer out = buffer(static_cast<size_t>(a.out_channels * a.out_height * a.out_width));
  a.x = x.get(), a.weights = w.get(), a.out = out.get();
  arrange_transposed(a, arranged.get());
  a.weights = arranged.get();
  const Buffer scratch = buffer(conv_transpose_scratch_floats(a, threads()));
  for (auto _ : state) conv_transpose(kernels(), pool(), a, scratch.get());
  report(state, 2.0 * static_cast<double>(a.in_channels * a.out_channels * a.height * a.width * 16));
}
BENCHMARK(conv_transpose_case)
    ->Name("conv_transpose")
    ->Args({384, 128, 16})
    ->Args({128, 64, 32})
    ->Args({64, 32, 64})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void conv_case(benchmark::State& state) {
  ConvArgs a{};
  a.batch = 1, a.in_channels = a.out_channels = state.range(0), a.groups = 1;
  a.height = a.width = a.out_height = a.out_width = state.range(1);
  a.kh = a.kw = 3, a.sh = a.sw = 1, a.pad_top = a.pad_left = 1;
  const Buffer x = buffer(static_cast<size_t>(a.in_channels * a.height * a.width));
  const Buffer w = buffer(static_cast<size_t>(a.in_channels * a.out_channels * 9));
  const Buffer out = buffer(static_cast<size_t>(a.out_channels * a.height * a.width));
  a.x = x.get(), a.weights = w.get(), a.out = out.get();
  const Buffer scratch = buffer(conv_scratch_floats(a, threads()));
  for (auto _ : state) conv(kernels(), pool(), a, scratch.get());
  report(state, 18.0 * static_cast<double>(a.in_channels * a.in_channels * a.height * a.width));
}
BENCHMARK(conv_case)->Name("conv3x3")->Args({64, 56})->Args({256, 14})->UseRealTime()->Unit(
    benchmark::kMicrosecond);

void unary_case(benchmark::State& state) {
  constexpr int64_t kCount = 1 << 16;
  const Buffer x = buffer(kCount);
  const Buffer y = buffer(kCount);
  ThreadPool one(1);
  for (auto _ : state)
    unary(kernels(), one, static_cast<Activation>(state.range(0)), x.get(), y.get(), kCount);
  state.SetItemsProcessed(state.iterations() * kCount);
}
BENCHMARK(unary_case)
    ->Name("unary")
    ->ArgName("activation")
    ->DenseRange(static_cast<int>(Activation::kRelu), static_cast<int>(Activation::kExp));

void parallel_for_case(benchmark::State& state) {
  for (auto _ : state) pool().parallel_for(pool().threads(), [](int64_t, int) {});
}
BENCHMARK(parallel_for_case)->Name("parallel_for")->UseRealTime();

}  // namespace
}  // namespace vitrail::cpu

int main(int argc, char** argv) {
  using namespace vitrail::cpu;
  benchmark::Initialize(&argc, argv);
  std::printf("%s, %d threads, multiply-add peak %.1f GFLOP/s (best instruction set)\n",
              std::string(vitrail::cpu::isa_name(isa_of(kernels()))).c_str(), threads(), peak());
  benchmark::RunSpecifiedBenchmarks();
}
