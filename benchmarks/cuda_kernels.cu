// SPDX-License-Identifier: Apache-2.0
// Every configuration of Vitrail's CUDA kernels on the shapes of a ViT: checked against plain loops, then timed
// inside a CUDA graph. One line each: kernel, shape, configuration, microseconds, TFLOP/s, largest error.
//   cuda_kernels [gemm|attention] [f16|bf16|e4m3|s8] [batch…]
#include <cuda_fp8.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "backends/cuda/device/math.cuh"
#include "backends/cuda/kernels/attention.h"
#include "backends/cuda/kernels/gemm.h"

using namespace vitrail::cuda;

#define CHECK(e)                                                                                   \
  do {                                                                                             \
    const cudaError_t status = (e);                                                                \
    if (status != cudaSuccess) {                                                                   \
      std::printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #e, cudaGetErrorString(status));          \
      std::exit(1);                                                                                \
    }                                                                                              \
  } while (false)

namespace {

__device__ float load(const void* p, int64_t i, Type t) {
  switch (t) {
    case Type::kF32:
      return static_cast<const float*>(p)[i];
    case Type::kF16:
      return __half2float(static_cast<const __half*>(p)[i]);
    case Type::kBF16:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(p)[i]);
    case Type::kE4M3:
      return static_cast<float>(static_cast<const __nv_fp8_e4m3*>(p)[i]);
    default:
      return static_cast<const int8_t*>(p)[i];
  }
}

__device__ float noise(uint64_t i, uint32_t seed) {
  uint64_t x = i * 0x9E3779B97F4A7C15ull + seed * 0xD1B54A32D192ED03ull;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ x >> 27) * 0x94D049BB133111EBull;
  x ^= x >> 31;
  return static_cast<float>(static_cast<int32_t>(x)) * 0x1p-31f * 1.7f;
}

__global__ void fill(void* p, int64_t n, Type t, float scale, uint32_t seed) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n; i += int64_t{gridDim.x} * blockDim.x) {
    const float v = noise(i, seed) * scale;
    if (t == Type::kF32) static_cast<float*>(p)[i] = v;
    if (t == Type::kF16) static_cast<__half*>(p)[i] = __float2half(v);
    if (t == Type::kBF16) static_cast<__nv_bfloat16*>(p)[i] = __float2bfloat16(v);
    if (t == Type::kE4M3) static_cast<__nv_fp8_e4m3*>(p)[i] = __nv_fp8_e4m3(v);
    if (t == Type::kS8) static_cast<int8_t*>(p)[i] = static_cast<int8_t>(noise(i, seed) * 60);
  }
}

__global__ void row_stats(const void* x, Type t, float* stats, int64_t rows, int columns) {
  const int64_t row = blockIdx.x;
  const int groups = (columns + kStatsColumns - 1) / kStatsColumns;
  for (int g = threadIdx.x; g < groups; g += blockDim.x) {
    const int n = min(kStatsColumns, columns - g * kStatsColumns);
    float mean = 0, m2 = 0;
    for (int i = 0; i < n; ++i) mean += load(x, row * columns + g * kStatsColumns + i, t);
    mean /= n;
    for (int i = 0; i < n; ++i) {
      const float d = load(x, row * columns + g * kStatsColumns + i, t) - mean;
      m2 += d * d;
    }
    stats[(g * rows + row) * 2] = mean;
    stats[(g * rows + row) * 2 + 1] = m2;
  }
}

// The definition, and the largest differences: of d relative to the rounding of its type, of the statistics, of d8.
__global__ void check_gemm(GemmArgs g, Type in, int stats_width, int64_t every, float* worst) {
  const int64_t at = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  const int64_t m = g.m - 1 - at / g.n * every, n = at % g.n, i = m * g.n + n;
  if (m < 0) return;
  double acc = 0;
  for (int64_t k = 0; k < g.k; ++k) acc += double{load(g.a, m * g.k + k, in)} * load(g.b, n * g.k + k, in);
  float row_scale = 1;
  if (g.stats) {
    const int groups = (g.stats_columns + kStatsColumns - 1) / kStatsColumns;
    double mean = 0, m2 = 0;
    for (int j = 0; j < groups; ++j) mean += g.stats[(j * g.m + m) * 2] * min(kStatsColumns, g.stats_columns - j * kStatsColumns);
    mean /= g.stats_columns;
    for (int j = 0; j < groups; ++j) {
      const double d = g.stats[(j * g.m + m) * 2] - mean;
      m2 += g.stats[(j * g.m + m) * 2 + 1] + d * d * min(kStatsColumns, g.stats_columns - j * kStatsColumns);
    }
    row_scale = static_cast<float>(1 / sqrt(m2 / g.stats_columns + g.epsilon));
  }
  float v = static_cast<float>(acc) * (g.col_scale ? g.col_scale[n] : 1) * row_scale + (g.bias ? g.bias[n] : 0);
  v = activate<true>(v, g.activation);
  const Type out = in == Type::kBF16 ? Type::kBF16 : Type::kF16;
  if (g.residual) v += load(g.residual, m % g.residual_rows * g.n + n, out);
  // FP8 products are accumulated with about 14 bits by the tensor cores.
  const float unit = in == Type::kE4M3 ? 0.01f : g.out == Type::kF32 ? 1e-5f : out == Type::kBF16 ? 0.0079f : 0.00098f;
  {
    const float got = g.d ? load(g.d, i, g.out) : v;
    const float e = fabsf(got - v) / (unit * fmaxf(fabsf(v), 0.25f));
    atomicMax(reinterpret_cast<int*>(worst), __float_as_int(e == e ? e : 1e30f));
    if (g.d8) {
      const float q = load(g.d8, i, in);
      const float want = got * g.d8_scale + g.d8_zero;
      const float tolerance = in == Type::kS8 ? 0.51f : fmaxf(fabsf(want) * 0.0627f, 0.002f);
      const float clipped = fminf(fmaxf(want, in == Type::kS8 ? -128 : -448), in == Type::kS8 ? 127 : 448);
      const float e8 = fabsf(q - clipped) / (tolerance + fmaxf(fabsf(got), 0.25f) * unit * g.d8_scale);
      atomicMax(reinterpret_cast<int*>(worst) + 1, __float_as_int(e8 == e8 ? e8 : 1e30f));
    }
  }
  if (g.stats_out && n % stats_width == 0) {
    const int count = min(int64_t{stats_width}, g.n - n);
    double mean = 0, m2 = 0;
    for (int j = 0; j < count; ++j) mean += load(g.d, i + j, g.out);
    mean /= count;
    for (int j = 0; j < count; ++j) {
      const double d = load(g.d, i + j, g.out) - mean;
      m2 += d * d;
    }
    const float* s = g.stats_out + (n / stats_width * g.m + m) * 2;
    const float e = fmaxf(fabsf(s[0] - mean), fabsf(s[1] - m2) / (1 + m2));
    atomicMax(reinterpret_cast<int*>(worst) + 2, __float_as_int(e == e ? e : 1e30f));
  }
}

// Keeps the device busy until its clock has risen.
__global__ void spin(int64_t cycles, float* sink) {
  const int64_t start = clock64();
  float x = threadIdx.x;
  while (clock64() - start < cycles)
    for (int i = 0; i < 64; ++i) x = fmaf(x, 1.0001f, 0.5f);
  if (x == 1.25f) *sink = x;
}

__global__ void nothing() {}

__global__ void check_attention(AttentionArgs a, float* worst) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  const int64_t rows = a.batch * a.heads * a.sq;
  if (i >= rows) return;
  const int64_t image = i / (a.heads * a.sq), head = i / a.sq % a.heads, q = i % a.sq;
  const int64_t q_at = (image * a.sq + q) * a.q_row + head * a.d;
  double top = -1e30, sum = 0;
  for (int pass = 0; pass < 2; ++pass)
    for (int key = 0; key < a.sk; ++key) {
      double s = 0;
      const int64_t k_at = (image * a.sk + key) * a.k_row + head * a.d;
      for (int d = 0; d < a.d; ++d) s += double{load(a.q, q_at + d, a.type)} * load(a.k, k_at + d, a.type);
      s *= a.scale;
      if (a.mask) s += a.mask[image * a.mask_b + head * a.mask_h + q * a.mask_q + key];
      if (pass == 0) top = fmax(top, s);
      if (pass == 1) sum += exp(s - top);
    }
  float e = 0;
  for (int c = 0; c < a.dv; c += 7) {
    double o = 0;
    for (int key = 0; key < a.sk; ++key) {
      double s = 0;
      const int64_t k_at = (image * a.sk + key) * a.k_row + head * a.d;
      for (int d = 0; d < a.d; ++d) s += double{load(a.q, q_at + d, a.type)} * load(a.k, k_at + d, a.type);
      s *= a.scale;
      if (a.mask) s += a.mask[image * a.mask_b + head * a.mask_h + q * a.mask_q + key];
      o += exp(s - top) / sum * load(a.v, (image * a.sk + key) * a.v_row + head * a.dv + c, a.type);
    }
    const float got = load(a.out, (image * a.sq + q) * a.out_row + head * a.dv + c, a.out_type);
    e = fmaxf(e, fabsf(got - static_cast<float>(o)));
    if (!(got == got)) e = 1e30f;
  }
  atomicMax(reinterpret_cast<int*>(worst), __float_as_int(e));
}

void* device_alloc(size_t bytes) {
  void* p = nullptr;
  CHECK(cudaMalloc(&p, bytes + 256));
  CHECK(cudaMemset(p, 0xFF, bytes + 256));
  return p;
}

void* random_matrix(int64_t count, Type t, float scale, uint32_t seed) {
  void* p = device_alloc(static_cast<size_t>(count * type_size(t)));
  fill<<<1024, 256>>>(p, count, t, scale, seed);
  return p;
}

template <class Launch>
float time_us(Launch launch_once, cudaStream_t stream, int repeats) {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  static const bool dependent = !std::getenv("NODEP");
  for (int i = 0; i < repeats; ++i) CHECK(launch_once(dependent && i > 0));
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  cudaEvent_t begin, end;
  CHECK(cudaEventCreate(&begin));
  CHECK(cudaEventCreate(&end));
  std::vector<float> times;
  for (int i = 0; i < 40; ++i) CHECK(cudaGraphLaunch(exec, stream));
  for (int i = 0; i < 9; ++i) {
    CHECK(cudaEventRecord(begin, stream));
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaEventRecord(end, stream));
    CHECK(cudaEventSynchronize(end));
    float ms;
    CHECK(cudaEventElapsedTime(&ms, begin, end));
    if (i > 1) times.push_back(ms * 1000 / static_cast<float>(repeats));
  }
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

struct Shape {
  const char* name;
  int64_t n, k;
  bool fold, gelu, residual;
};

int bad = 0;

void bench_gemm(Type type, int64_t tokens_rows, const Shape& s, int sms, cudaStream_t stream, float* worst, size_t most) {
  const int64_t m = tokens_rows;
  const Type out = type == Type::kBF16 ? Type::kBF16 : Type::kF16;
  // Rotated, so that weights come from device memory as they do in a model: 12 sets.
  constexpr int kSets = 12;
  std::vector<void*> weights;
  for (int i = 0; i < kSets; ++i) weights.push_back(random_matrix(s.n * s.k, type, 0.05f, 10 + i));
  void* a = random_matrix(m * s.k, type, 1, 1);
  auto* stats = static_cast<float*>(device_alloc(static_cast<size_t>(m * ((s.k + 63) / 64) * 8)));
  row_stats<<<static_cast<unsigned>(m), 64>>>(a, type, stats, m, static_cast<int>(s.k));
  void* residual = random_matrix(m * s.n, out, 1, 2);
  auto* bias = static_cast<float*>(random_matrix(s.n, Type::kF32, 0.5f, 3));
  auto* scale = static_cast<float*>(random_matrix(s.n, Type::kF32, type == Type::kS8 ? 1e-4f : 0.5f, 4));
  void* d = device_alloc(static_cast<size_t>(m * s.n * 4));
  void* d8 = device_alloc(static_cast<size_t>(m * s.n));
  auto* stats_out = static_cast<float*>(device_alloc(static_cast<size_t>(m * ((s.n + 63) / 64) * 8)));

  GemmArgs g;
  g.a = a;
  g.b = weights[0];
  g.m = m, g.n = s.n, g.k = s.k;
  g.bias = bias;
  if (type_size(type) == 1) g.col_scale = scale;
  if (s.fold && type != Type::kS8) g.stats = stats, g.stats_columns = static_cast<int>(s.k), g.epsilon = 1e-6f;
  g.activation = s.gelu ? Activation::kGelu : Activation::kNone;
  if (s.residual) g.residual = residual, g.residual_rows = m, g.stats_out = stats_out;
  g.d = d;
  g.out = s.n % 64 ? Type::kF32 : out;
  if (type_size(type) == 1 && s.gelu) g.d = nullptr, g.d8 = d8, g.d8_scale = type == Type::kS8 ? 4.0f : 20.0f;

  auto configs = gemm_candidates(type, g, sms);
  if (configs.size() > most) configs.resize(most);
  for (const GemmConfig& config : configs) {
    std::vector<GemmPlan> plans(kSets);
    for (int i = 0; i < kSets; ++i) {
      GemmArgs at = g;
      at.b = weights[i];
      CHECK(plan_gemm(type, at, config, sms, &plans[i]));
    }
    CHECK(cudaMemset(d, 0xFF, m * s.n * 4));
    CHECK(cudaMemset(worst, 0, 16));
    CHECK(launch_gemm(type, plans[0], stream, false));
    CHECK(cudaStreamSynchronize(stream));
    const int64_t every = m / 300 + 1;  // rows that are checked
    check_gemm<<<static_cast<unsigned>(((m + every - 1) / every * s.n + 255) / 256), 256>>>(g, type, config.stats_width(), every, worst);
    float e[3];
    CHECK(cudaMemcpy(e, worst, sizeof(e), cudaMemcpyDeviceToHost));
    int next = 0;
    const float us = time_us([&](bool dependent) { return launch_gemm(type, plans[next++ % kSets], stream, dependent); },
                             stream, 24);
    const bool wrong = !(e[0] < 4 && e[1] < 2 && e[2] < 0.05f);
    bad += wrong;
    std::fflush(stdout);
    std::printf("%-8s m %6ld n %5ld k %5ld  %-20s %8.2f us %7.1f TFLOP/s  err %.2f %.2f %.4f%s\n", s.name,
                static_cast<long>(m), static_cast<long>(s.n), static_cast<long>(s.k), config.name().c_str(), us,
                2e-6 * static_cast<double>(m * s.n) * static_cast<double>(s.k) / us, e[0], e[1], e[2], wrong ? "  WRONG" : "");
  }
  for (void* p : weights) cudaFree(p);
  for (void* p : {a, static_cast<void*>(stats), residual, static_cast<void*>(bias), static_cast<void*>(scale), d, d8,
                  static_cast<void*>(stats_out)})
    cudaFree(p);
}

void bench_attention(Type type, int64_t batch, int heads, int tokens, int d, int sms, cudaStream_t stream, float* worst,
                     bool masked) {
  const int width = heads * d;
  void* qkv = random_matrix(batch * tokens * 3 * width, type, 1, 5);
  void* out = device_alloc(static_cast<size_t>(batch * tokens * width * 4));
  auto* mask = static_cast<float*>(random_matrix(int64_t{heads} * tokens * tokens, Type::kF32, 2, 6));
  AttentionArgs a;
  a.q = qkv;
  a.k = static_cast<char*>(qkv) + width * type_size(type);
  a.v = static_cast<char*>(qkv) + 2 * width * type_size(type);
  a.out = out;
  a.batch = batch, a.heads = heads, a.sq = a.sk = tokens, a.d = a.dv = d;
  a.q_row = a.k_row = a.v_row = 3 * width, a.out_row = width;
  a.scale = 1 / sqrtf(static_cast<float>(d));
  if (masked) a.mask = mask, a.mask_h = int64_t{tokens} * tokens, a.mask_q = tokens;
  a.type = a.out_type = type;
  CHECK(cudaMemset(worst, 0, 16));
  AttentionPlan plan;
  CHECK(plan_attention(a, sms, !std::getenv("NOHOPPER"), &plan));
  CHECK(launch_attention(plan, stream, false));
  CHECK(cudaStreamSynchronize(stream));
  const int64_t rows = std::min<int64_t>(batch, 4) * heads * tokens;
  AttentionArgs some = a;
  some.batch = std::min<int64_t>(batch, 4);
  check_attention<<<static_cast<unsigned>((rows + 63) / 64), 64>>>(some, worst);
  float e;
  CHECK(cudaMemcpy(&e, worst, 4, cudaMemcpyDeviceToHost));
  const float us = time_us([&](bool dependent) { return launch_attention(plan, stream, dependent); }, stream, 24);
  const bool wrong = !(e < (type == Type::kF32 ? 2e-5f : type == Type::kF16 ? 2e-3f : 2e-2f));
  bad += wrong;
  std::printf("attention b %4ld h %2d t %4d d %3d %s%-6s %8.2f us %7.1f TFLOP/s  err %.6f %s%s\n", static_cast<long>(batch), heads,
              tokens, d, masked ? "mask " : "", type == Type::kF32 ? "f32" : type == Type::kF16 ? "f16" : "bf16", us,
              4e-6 * static_cast<double>(batch * heads) * tokens * tokens * d / us, e, plan.name(), wrong ? "  WRONG" : "");
  for (void* p : {qkv, out, static_cast<void*>(mask)}) cudaFree(p);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "gemm";
  const std::string name = argc > 2 ? argv[2] : "f16";
  const Type type = name == "bf16" ? Type::kBF16 : name == "e4m3" ? Type::kE4M3 : name == "s8" ? Type::kS8 : name == "f32" ? Type::kF32 : Type::kF16;
  std::vector<int64_t> batches;
  for (int i = 3; i < argc; ++i) batches.push_back(std::atoll(argv[i]));
  if (batches.empty()) batches = {1, 8, 32, 64, 128};
  cudaDeviceProp device;
  CHECK(cudaGetDeviceProperties(&device, 0));
  std::printf("%s, %d multiprocessors, %s %s\n", device.name, device.multiProcessorCount, what.c_str(), name.c_str());
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  auto* worst = static_cast<float*>(device_alloc(64));
  const int sms = device.multiProcessorCount;
  for (int i = 0; i < 8; ++i) spin<<<sms * 4, 256>>>(100000000, worst);
  CHECK(cudaDeviceSynchronize());
  const size_t most = std::getenv("MOST") ? std::strtoul(std::getenv("MOST"), nullptr, 10) : 6;
  CHECK(cudaDeviceSynchronize());
  std::printf("chain of empty kernels: %.2f us each\n",
              time_us([&](bool) { nothing<<<1, 32, 0, stream>>>(); return cudaGetLastError(); }, stream, 24));
  {
    void* from = device_alloc(1 << 30);
    void* to = device_alloc(1 << 30);
    const float us = time_us([&](bool) { return cudaMemcpyAsync(to, from, 1 << 30, cudaMemcpyDeviceToDevice, stream); }, stream, 4);
    std::printf("copy: %.0f GB/s read and written\n", 2.0 * (1 << 30) / us / 1e3);
    cudaFree(from);
    cudaFree(to);
  }
  if (what == "gemm") {
    const Shape shapes[] = {{"qkv", 2304, 768, true, false, false}, {"proj", 768, 768, false, false, true},
                            {"fc1", 3072, 768, true, true, false},  {"fc2", 768, 3072, false, false, true}};
    for (int64_t b : batches) {
      for (const Shape& s : shapes) bench_gemm(type, b * 197, s, sms, stream, worst, most);
      bench_gemm(type, b, {"head", 1000, 768, true, false, false}, sms, stream, worst, 3);
    }
    bench_gemm(type, 3 * 257, {"odd", 1152, 384, false, false, true}, sms, stream, worst, most);
  } else {
    for (int64_t b : batches) bench_attention(type, b, 12, 197, 64, sms, stream, worst, false);
    bench_attention(type, 2, 6, 257, 64, sms, stream, worst, false);
    bench_attention(type, 2, 3, 50, 32, sms, stream, worst, true);
    bench_attention(type, 2, 4, 1025, 80, sms, stream, worst, false);
    bench_attention(type, 1, 2, 100, 128, sms, stream, worst, true);
    bench_attention(type, 16, 12, 1025, 64, sms, stream, worst, false);
  }
  std::printf("%d wrong\n", bad);
  return bad != 0;
}
