// SPDX-License-Identifier: Apache-2.0
#include "workflow/compare_precisions.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "backends/cpu/kernels/kernels.h"
#include "core/thread_pool.h"
#include "graph/rows.h"
#include "report/recommend.h"

namespace vitrail {
namespace {

constexpr int64_t kMostRows = 512;  // enough to fill the tiles and the threads
constexpr int kRuns = 3;            // after one that warms up

// Tensors are aligned as the kernels want their scratch.
Tensor buffer(size_t bytes, int value) {
  Tensor t(DType::kU8, {static_cast<int64_t>(bytes) + 64});
  std::ranges::fill(t.as_mutable<uint8_t>(), static_cast<uint8_t>(value));
  return t;
}

template <class T>
T* as(Tensor& t) {
  return static_cast<T*>(t.mutable_data());
}

template <class F>
double best_us(const F& run) {
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (int i = 0; i <= kRuns; ++i) {
    const auto start = Clock::now();
    run();
    const double us = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
    if (i == 1 || (i > 1 && us < best)) best = us;
  }
  return best;
}

struct Shape3 {
  int64_t m, n, k;
  auto operator<=>(const Shape3&) const = default;
};

double int8_us(const cpu::Kernels& kernels, ThreadPool& pool, const Shape3& s) {
  const auto m = static_cast<size_t>(s.m), n = static_cast<size_t>(s.n), k = static_cast<size_t>(s.k);
  Tensor a = buffer(m * k, 3), b = buffer(cpu::packed_bytes(s.k, s.n), 1), starts = buffer((n + 16) * 4, 0),
         scale = buffer(n * 4, 0), q = buffer(m * n, 0),
         scratch = buffer(cpu::integer_gemm_scratch_bytes(s.m, s.n, s.k, pool.threads()), 0);
  cpu::IntegerGemmArgs args{};
  args.a = as<uint8_t>(a), args.lda = s.k;
  args.b_packed = as<int8_t>(b), args.start = as<int32_t>(starts), args.scale = as<float>(scale);
  args.q = as<uint8_t>(q), args.ldc = s.n;
  args.m = s.m, args.n = s.n, args.k = s.k;
  return best_us([&] { cpu::integer_gemm(kernels, pool, args, as<uint8_t>(scratch)); });
}

double fp32_us(const cpu::Kernels& kernels, ThreadPool& pool, const Shape3& s) {
  const auto m = static_cast<size_t>(s.m), n = static_cast<size_t>(s.n), k = static_cast<size_t>(s.k);
  // Bytes of 60 make floats of 0.01: neither zeros nor denormal.
  Tensor a = buffer(m * k * 4, 60), b = buffer(cpu::packed_floats(s.k, s.n) * 4, 60),
         c = buffer(m * n * 4, 0),
         scratch = buffer(cpu::gemm_scratch_floats(s.m, s.n, s.k, pool.threads()) * 4, 0);
  cpu::GemmArgs args{};
  args.a = as<float>(a), args.lda = s.k;
  args.b_packed = as<float>(b);
  args.c = as<float>(c), args.ldc = s.n;
  args.m = s.m, args.n = s.n, args.k = s.k;
  return best_us([&] { cpu::gemm(kernels, pool, args, as<float>(scratch)); });
}

}  // namespace

PrecisionTimes time_products(const Graph& compiled, int64_t batch, int threads, cpu::Isa isa) {
  std::map<Shape3, int64_t> shapes;
  PrecisionTimes times;
  int64_t most = 1;
  for (const Node& node : compiled.nodes)
    if (node.op == Op::QuantizedLinear && node.has("packed_n"))
      if (const auto rows = rows_of(compiled, node.input(0))) most = std::max(most, rows->at(1));
  times.batch = std::clamp<int64_t>(kMostRows / most, 1, std::max<int64_t>(batch, 1));
  for (const Node& node : compiled.nodes) {
    if (node.op != Op::QuantizedLinear || !node.has("packed_n")) continue;
    const auto rows = rows_of(compiled, node.input(0));
    const Dim depth = extent(compiled, node.input(0), -1);
    if (!rows || !depth.is_fixed()) continue;
    ++shapes[{rows->at(times.batch), node.integer("packed_n", 0), depth.fixed}];
    ++times.products;
  }
  const cpu::Kernels& kernels = cpu::kernels_for(isa);
  ThreadPool pool(threads);
  for (const auto& [shape, count] : shapes) {
    times.int8_us += static_cast<double>(count) * int8_us(kernels, pool, shape);
    times.fp32_us += static_cast<double>(count) * fp32_us(kernels, pool, shape);
  }
  times.threads = threads;
  times.isa = cpu::isa_name(isa);
  return times;
}

std::optional<std::string> int8_is_not_faster(const PrecisionTimes& times) {
  if (times.products == 0 || times.int8_us * report::kWorthwhileGain <= times.fp32_us) return std::nullopt;
  return fmt::format(
      "int8 is not faster than fp32 on this machine ({}): its {} products take {:.2f} ms at batch {} with {} "
      "threads, "
      "{:.2f} ms in fp32; build the model from before its quantization with --precision fp32",
      times.isa, times.products, times.int8_us * 1e-3, times.batch, times.threads, times.fp32_us * 1e-3);
}

}  // namespace vitrail
