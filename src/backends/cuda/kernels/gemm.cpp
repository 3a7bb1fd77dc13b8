// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/gemm.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "backends/cuda/kernels/tensor_map.h"

namespace vitrail::cuda {
namespace {

constexpr int64_t kTileRows = 128;
// Those that are no multiples of 64 serve batches whose tiles would otherwise leave multiprocessors idle.
constexpr std::array kTileColumns{192, 160, 128, 96};
constexpr std::array kSplitRows{32, 64, 80, 96, 112, 128};

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

Type out_type(Type type) { return type == Type::kBF16 ? Type::kBF16 : Type::kF16; }

// The epilogues that the ping-pong kernel is compiled for.
bool fits_pingpong(Type type, const GemmArgs& args) {
  if (args.stats && type == Type::kS8) return false;
  if (args.activation != Activation::kNone && (args.residual || args.stats_out)) return false;
  if (args.residual && args.stats) return false;
  if (args.stats_out && !args.residual) return false;
  if (args.d8 && (args.residual ? !args.d : args.d != nullptr)) return false;
  return args.n % 8 == 0 && args.out != Type::kF32 && (!args.d8 || args.n % 16 == 0) &&
         args.m * args.n < INT32_MAX;
}

// Bytes leave 64 columns at a time, and statistics are of whole groups.
bool fits_tile(const GemmArgs& args, int columns) {
  return columns % 64 == 0 || (args.d && !(args.stats_out && columns != 96));
}

}  // namespace

std::string GemmConfig::name() const {
  char text[64];
  if (columns)
    std::snprintf(text, sizeof(text), "pingpong_128x%d%s", columns, cluster ? "c2" : "");
  else
    std::snprintf(text, sizeof(text), "split_%dx64k%d", rows, splits);
  return text;
}

bool GemmConfig::parse(const std::string& name, GemmConfig* config) {
  GemmConfig c;
  if (std::sscanf(name.c_str(), "pingpong_128x%d", &c.columns) == 1)
    c.cluster = name.ends_with("c2");
  else if (std::sscanf(name.c_str(), "split_%dx64k%d", &c.rows, &c.splits) != 2)
    return false;
  *config = c;
  return c.name() == name;
}

std::string refuse_gemm(Type type, const GemmArgs& args) {
  if (type == Type::kF32 || type == Type::kU8) return "no tensor core kernel for this type";
  if (args.k * type_size(type) % 16 != 0) return "rows of K are not a multiple of 16 bytes";
  if (args.m < 1 || args.n < 1) return "empty";
  if (args.activation != Activation::kNone && args.activation != Activation::kGelu)
    return "no epilogue for this activation";
  return "";
}

std::vector<GemmConfig> gemm_candidates(Type type, const GemmArgs& args, int multiprocessors) {
  struct Rated {
    double cost;
    GemmConfig config;
  };
  std::vector<Rated> rated;
  const int64_t steps = ceil_div(args.k * type_size(type), 128);
  if (fits_pingpong(type, args) && args.m > 64)
    for (int columns : kTileColumns)
      for (bool cluster : {true, false}) {
        const int64_t tiles_n = ceil_div(args.n, columns);
        if (cluster && (tiles_n < 2 || columns % 64 != 0)) continue;
        if (!fits_tile(args, columns)) continue;
        const int64_t tiles = ceil_div(args.m, kTileRows) * (cluster ? (tiles_n + 1) / 2 * 2 : tiles_n);
        const int64_t waves = ceil_div(tiles, cluster ? multiprocessors / 2 * 2 : multiprocessors);
        // In cycles: the products of a step take 4·columns, or what the second level cache needs for its
        // tiles; then filling the ring and the last epilogue.
        const double step = std::max(4.0 * columns, (cluster ? 64 + columns : 128 + columns) * 128 / 32.0);
        rated.push_back({static_cast<double>(waves * steps) * step + 4000, {columns, cluster, 0, 1}});
      }
  const bool only = rated.empty();
  if (args.m <= 2048 || only)
    for (int rows : kSplitRows) {
      if (type == Type::kS8 ? rows % 32 != 0 : rows == 96)
        continue;  // integers have few widths of tensor core products
      for (int splits : {1, 2, 3, 4, 6, 8}) {
        if (splits > steps) continue;
        if (rows > 32 && args.m <= rows / 2) continue;  // a smaller tile holds it
        if (args.m > 16 * rows && !only) continue;
        const int64_t blocks = ceil_div(args.n, 64) * ceil_div(args.m, rows) * splits;
        const int64_t waves = ceil_div(blocks, multiprocessors);
        if (waves > 4 && !only) continue;
        const int64_t bytes = blocks * ceil_div(steps, splits) * (64 + rows) * 128;
        const double cost = static_cast<double>(waves * ceil_div(steps, splits) * 4 * std::max(rows, 64)) +
                            static_cast<double>(bytes) / (32.0 * multiprocessors) + 2500 + 300 * splits;
        rated.push_back({cost, {0, false, rows, splits}});
      }
    }
  std::stable_sort(rated.begin(), rated.end(),
                   [](const Rated& a, const Rated& b) { return a.cost < b.cost; });
  std::vector<GemmConfig> configs;
  for (const Rated& r : rated) configs.push_back(r.config);
  return configs;
}

cudaError_t plan_gemm(Type type, const GemmArgs& args, const GemmConfig& config, int multiprocessors,
                      GemmPlan* plan) {
  if (!refuse_gemm(type, args).empty()) return cudaErrorInvalidValue;
  if (config.columns && !(fits_pingpong(type, args) && fits_tile(args, config.columns)))
    return cudaErrorInvalidValue;
  GemmPlan p;
  p.config = config;
  p.args = args;
  p.multiprocessors = multiprocessors;
  const int box_k = 128 / type_size(type);
  auto map = [&](int i, Type t, const void* data, int64_t rows, int64_t columns, int box_rows,
                 int box_columns) {
    return make_tensor_map(&p.maps[i], t, data, {columns, rows}, {columns}, {box_columns, box_rows});
  };
  cudaError_t e = cudaSuccess;
  if (config.columns) {
    const int64_t tiles = ceil_div(args.m, kTileRows) * ceil_div(args.n, config.columns);
    p.blocks = static_cast<int>(std::min<int64_t>(tiles, multiprocessors));
    if (config.cluster) {
      const int64_t pairs = ceil_div(args.m, kTileRows) * ((ceil_div(args.n, config.columns) + 1) / 2);
      p.blocks = static_cast<int>(std::min<int64_t>(pairs, multiprocessors / 2)) * 2;
    }
    const Type out = out_type(type);
    e = map(0, type, args.a, args.m, args.k, config.cluster ? 64 : 128, box_k);
    if (e == cudaSuccess) e = map(1, type, args.b, args.n, args.k, config.columns, box_k);
    if (e == cudaSuccess)
      e = !args.d ? map(2, type, args.d8, args.m, args.n, 128, 64)
                  : map(2, out, args.d, args.m, args.n, 128, 32);
    if (e == cudaSuccess && args.residual && args.residual_rows == args.m)
      e = map(3, out, args.residual, args.m, args.n, 128, 32);
  } else {
    p.blocks = static_cast<int>(ceil_div(args.n, 64) * ceil_div(args.m, config.rows)) * config.splits;
    e = map(0, type, args.b, args.n, args.k, 64, box_k);
    if (e == cudaSuccess) e = map(1, type, args.a, args.m, args.k, config.rows / 2, box_k);
  }
  if (e == cudaSuccess) *plan = p;
  return e;
}

cudaError_t launch_gemm(Type type, const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  switch (type) {
    case Type::kF16:
      return detail::launch_gemm_f16(plan, stream, dependent);
    case Type::kBF16:
      return detail::launch_gemm_bf16(plan, stream, dependent);
    case Type::kE4M3:
      return detail::launch_gemm_e4m3(plan, stream, dependent);
    case Type::kS8:
      return detail::launch_gemm_s8(plan, stream, dependent);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace vitrail::cuda
