// SPDX-License-Identifier: Apache-2.0
// Convolutions in which an output channel sees one input channel: each row of outputs is a weighted sum of rows of the padded
// plane, whose columns are sorted by their phase of the stride so that neighbours lie side by side.
#include "backends/cpu/kernels/depthwise.h"

#include <algorithm>
#include <array>

#include "backends/cpu/kernels/table.h"

namespace vitrail::cpu {
namespace {

constexpr int64_t kMostTaps = 128;

struct Plane {
  int64_t height, phase;  // rows; columns of each of `sw` phases
  explicit Plane(const ConvArgs& a)
      : height((a.out_height - 1) * a.sh + (a.kh - 1) * a.dh + 1),
        phase(ceil_div((a.out_width - 1) * a.sw + (a.kw - 1) * a.dw + 1, a.sw)) {}
};

void pad_plane(const ConvArgs& a, const float* x, const Plane& plane, float* out) {
  for (int64_t y = -a.pad_top; y < plane.height - a.pad_top; ++y)
    for (int64_t p = 0; p < a.sw; ++p, out += plane.phase) {
      // Column i of the phase is column i * sw + from of the picture.
      const int64_t from = p - a.pad_left;
      const int64_t first = std::clamp<int64_t>(ceil_div(std::max<int64_t>(-from, 0), a.sw), 0, plane.phase);
      const int64_t last = from < a.width ? std::clamp<int64_t>(ceil_div(a.width - from, a.sw), first, plane.phase) : first;
      if (y < 0 || y >= a.height) {
        std::fill_n(out, plane.phase, 0.0f);
        continue;
      }
      std::fill(out, out + first, 0.0f);
      const float* row = x + y * a.width + from;
      if (a.sw == 1)
        std::copy(row + first, row + last, out + first);
      else
        for (int64_t i = first; i < last; ++i) out[i] = row[i * a.sw];
      std::fill(out + last, out + plane.phase, 0.0f);
    }
}

}  // namespace

bool is_depthwise(const ConvArgs& a) { return a.in_channels == a.groups && a.groups > 1 && a.kh * a.kw <= kMostTaps; }

int64_t depthwise_floats(const ConvArgs& a) {
  const Plane plane(a);
  return round_up(plane.height * a.sw * plane.phase, kPanel);
}

void depthwise(const Kernels& kernels, ThreadPool& pool, const ConvArgs& a, float* scratch) {
  const Plane plane(a);
  const int64_t rows = a.out_channels / a.groups, taps = a.kh * a.kw, pixels = a.out_height * a.out_width;
  pool.parallel_for(a.batch * a.groups, [&](int64_t task, int thread) {
    float* padded = scratch + thread * depthwise_floats(a);
    pad_plane(a, a.x + task * a.height * a.width, plane, padded);
    for (int64_t channel = task % a.groups * rows, end = channel + rows; channel < end; ++channel) {
      float* out = a.out + (task / a.groups * a.out_channels + channel) * pixels;
      std::array<const float*, kMostTaps> from;
      for (int64_t y = 0; y < a.out_height; ++y, out += a.out_width) {
        for (int64_t t = 0; t < taps; ++t) {
          const int64_t column = t % a.kw * a.dw;
          from[static_cast<size_t>(t)] =
              padded + ((y * a.sh + t / a.kw * a.dh) * a.sw + column % a.sw) * plane.phase + column / a.sw;
        }
        kernels.weighted_rows(from.data(), a.weights + channel * taps, taps, a.bias ? a.bias[channel] : 0.0f, out, a.out_width);
        if (a.activation != Activation::kNone) kernels.unary(a.activation, out, out, a.out_width);
      }
    }
  });
}

}  // namespace vitrail::cpu
