// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/table.h"

namespace vitrail::cpu {
namespace {

// The two inputs of an output and the weight of the second.
struct Sample {
  int64_t low, high;
  float weight;
};

Sample sample(Coordinates coordinates, int64_t out, int64_t in_extent, int64_t out_extent, float scale) {
  const double ratio = scale > 0 ? scale : static_cast<double>(out_extent) / static_cast<double>(in_extent);
  const auto o = static_cast<double>(out);
  double at = 0;
  switch (coordinates) {
    case Coordinates::kHalfPixel:
      at = (o + 0.5) / ratio - 0.5;
      break;
    case Coordinates::kPytorchHalfPixel:
      at = out_extent > 1 ? (o + 0.5) / ratio - 0.5 : 0.0;
      break;
    case Coordinates::kAlignCorners:
      at =
          out_extent > 1 ? o * static_cast<double>(in_extent - 1) / static_cast<double>(out_extent - 1) : 0.0;
      break;
    case Coordinates::kAsymmetric:
      at = o / ratio;
      break;
  }
  at = std::clamp(at, 0.0, static_cast<double>(in_extent - 1));
  const auto low = static_cast<int64_t>(at);
  return {low, std::min(low + 1, in_extent - 1), static_cast<float>(at - static_cast<double>(low))};
}

}  // namespace

size_t resize_scratch_floats(const ResizeArgs& args, int threads) {
  return static_cast<size_t>(3 * round_up(args.out_width, kPanel) + threads * round_up(args.width, kPanel));
}

void resize_bilinear(const Kernels& kernels, ThreadPool& pool, const ResizeArgs& args, float* scratch) {
  // Columns as three arrays of 32-bit numbers in the scratch: exact, an extent is far below 2^24.
  const int64_t padded = round_up(args.out_width, kPanel);
  float* low = scratch;
  float* high = scratch + padded;
  float* weight = scratch + 2 * padded;
  float* rows = scratch + 3 * padded;
  const int64_t row_floats = round_up(args.width, kPanel);
  for (int64_t x = 0; x < args.out_width; ++x) {
    const Sample s = sample(args.coordinates, x, args.width, args.out_width, args.scale_w);
    low[x] = static_cast<float>(s.low);
    high[x] = static_cast<float>(s.high);
    weight[x] = s.weight;
  }
  constexpr int64_t kRowsPerTask = 16;
  const int64_t cuts = ceil_div(args.out_height, kRowsPerTask);
  pool.parallel_for(args.planes * cuts, [&](int64_t task, int thread) {
    const float* plane = args.x + task / cuts * args.height * args.width;
    float* out = args.out + task / cuts * args.out_height * args.out_width;
    float* row = rows + thread * row_floats;
    const int64_t first = task % cuts * kRowsPerTask;
    const int64_t last = std::min(args.out_height, first + kRowsPerTask);
    for (int64_t y = first; y < last; ++y) {
      const Sample s = sample(args.coordinates, y, args.height, args.out_height, args.scale_h);
      kernels.mix(plane + s.low * args.width, plane + s.high * args.width, s.weight, row, args.width);
      float* to = out + y * args.out_width;
      for (int64_t x = 0; x < args.out_width; ++x) {
        const float a = row[static_cast<int64_t>(low[x])];
        const float b = row[static_cast<int64_t>(high[x])];
        to[x] = a + (b - a) * weight[x];
      }
    }
  });
}

}  // namespace vitrail::cpu
