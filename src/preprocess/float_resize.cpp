// SPDX-License-Identifier: Apache-2.0
#include "preprocess/float_resize.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "core/error.h"
#include "preprocess/resize.h"

namespace vitrail {
namespace {

// Where PyTorch's compiler contracts a product and a sum, std::fma stands; nowhere else may it happen, so that this folder is
// compiled with -ffp-contract=off.

float bilinear(float x) {
  x = std::abs(x);
  return x < 1.0f ? 1.0f - x : 0.0f;
}

// cubic_convolution1 and 2 with a = -0.5.
float bicubic(float x) {
  constexpr float a = -0.5f;
  x = std::abs(x);
  if (x < 1.0f) return std::fma(std::fma(a + 2.0f, x, -(a + 3.0f)) * x, x, 1.0f);
  if (x < 2.0f) return std::fma(std::fma(std::fma(a, x, -5.0f * a), x, 8.0f * a), x, -4.0f * a);
  return 0.0f;
}

// The compiler made the loop over taps 1, 2, … of vectors of four, whose products are rounded before they are added in order; what
// is left over is contracted.
float weighted_sum(const float* from, size_t step, const float* weights, int count) {
  float sum = from[0] * weights[0];
  int i = 1;
  for (const int whole = 1 + (count - 1) / 4 * 4; i < whole; ++i) sum += from[step * static_cast<size_t>(i)] * weights[i];
  for (; i < count; ++i) sum = std::fma(from[step * static_cast<size_t>(i)], weights[i], sum);
  return sum;
}

FloatImage blank(int width, int height) {
  return {width, height, std::vector<float>(size_t{3} * static_cast<size_t>(width) * static_cast<size_t>(height))};
}

// A part of the picture with channels of 0 to 1.
FloatImage scaled(const Image& image, const Region& region) {
  FloatImage part = blank(region.width, region.height);
  const size_t line = size_t{3} * static_cast<size_t>(part.width);
  for (int row = 0; row < part.height; ++row) {
    const size_t first = static_cast<size_t>(region.y + row) * static_cast<size_t>(image.width) + static_cast<size_t>(region.x);
    const uint8_t* from = image.pixels.data() + size_t{3} * first;
    float* to = part.values.data() + line * static_cast<size_t>(row);
    for (size_t i = 0; i < line; ++i) to[i] = static_cast<float>(from[i]) * (1.0f / 255.0f);
  }
  return part;
}

// `first` is the source's column where `in` starts.
FloatImage horizontal_pass(const FloatImage& in, const FloatTaps& taps, int64_t first) {
  FloatImage out = blank(static_cast<int>(taps.windows.size()), in.height);
  float* to = out.values.data();
  for (int y = 0; y < in.height; ++y) {
    const float* line = in.values.data() + size_t{3} * static_cast<size_t>(in.width) * static_cast<size_t>(y);
    for (const FloatTaps::Window& w : taps.windows)
      for (size_t channel = 0; channel < 3; ++channel)
        *to++ = weighted_sum(line + size_t{3} * static_cast<size_t>(w.first - first) + channel, 3, &taps.weights[w.weights], w.count);
  }
  return out;
}

// `first` is the source's row where `in` starts.
FloatImage vertical_pass(const FloatImage& in, const FloatTaps& taps, int64_t first) {
  FloatImage out = blank(in.width, static_cast<int>(taps.windows.size()));
  const size_t stride = size_t{3} * static_cast<size_t>(in.width);
  float* to = out.values.data();
  for (const FloatTaps::Window& w : taps.windows) {
    const float* column = in.values.data() + stride * static_cast<size_t>(w.first - first);
    for (size_t x = 0; x < stride; ++x) *to++ = weighted_sum(column + x, stride, &taps.weights[w.weights], w.count);
  }
  return out;
}

// An axis that keeps its size is copied: its windows have the one weight 1.
FloatTaps axis_taps(Interpolation interpolation, int source, int64_t target, int64_t first, int count) {
  if (source != target) return make_float_taps(interpolation, source, target, first, count);
  FloatTaps taps{{}, {1.0f}, static_cast<int32_t>(first), static_cast<int32_t>(first) + count};
  for (int i = 0; i < count; ++i) taps.windows.push_back({static_cast<int32_t>(first) + i, 1, 0});
  return taps;
}

}  // namespace

FloatTaps make_float_taps(Interpolation interpolation, int source, int64_t target, int64_t first, int count) {
  const bool cubic = interpolation == Interpolation::kBicubic;
  const float scale = static_cast<float>(source) / static_cast<float>(target);
  const float reach = cubic ? 2.0f : 1.0f;
  const float support = scale >= 1.0f ? reach * scale : reach;
  const float inverse = scale >= 1.0f ? static_cast<float>(1.0 / scale) : 1.0f;
  FloatTaps taps;
  taps.begin = source;
  taps.windows.reserve(static_cast<size_t>(count));
  for (int64_t i = first; i < first + count; ++i) {
    const auto center = static_cast<float>(scale * (static_cast<double>(i) + 0.5));
    const int begin = std::max(static_cast<int>(static_cast<double>(center - support) + 0.5), 0);
    const int end = std::min(static_cast<int>(static_cast<double>(center + support) + 0.5), source);
    const size_t start = taps.weights.size();
    float total = 0.0f;
    for (int x = begin; x < end; ++x) {
      const auto at = static_cast<float>((static_cast<double>(static_cast<float>(x) - center) + 0.5) * inverse);
      taps.weights.push_back(cubic ? bicubic(at) : bilinear(at));
      total += taps.weights.back();
    }
    if (total != 0.0f)
      for (size_t k = start; k < taps.weights.size(); ++k) taps.weights[k] /= total;
    taps.windows.push_back({begin, end - begin, start});
    taps.begin = std::min(taps.begin, begin);
    taps.end = std::max(taps.end, end);
  }
  return taps;
}

Result<FloatImage> resize_floats(const Image& image, const Place& place, int64_t width, int64_t height, Interpolation interpolation,
                                 const Region& region) try {
  const Scaling scaling{interpolation, Arithmetic::kTorchFloat};
  VTL_TRY(check_source(image, place, width, height, scaling, region));
  if (interpolation == Interpolation::kNearest) {
    VTL_ASSIGN(const Image bytes, resize_region(image, place, width, height, scaling, region));
    return scaled(bytes, {0, 0, bytes.width, bytes.height});
  }
  const FloatTaps x = axis_taps(interpolation, place.width, width, region.x, region.width);
  const FloatTaps y = axis_taps(interpolation, place.height, height, region.y, region.height);
  const FloatImage part = scaled(image, {x.begin - place.x, y.begin - place.y, x.end - x.begin, y.end - y.begin});
  return vertical_pass(horizontal_pass(part, x, x.begin), y, y.begin);
} catch (const std::bad_alloc&) {
  return resource_error("not enough memory to resize {}x{} pixels to {}x{}", place.width, place.height, width, height);
}

}  // namespace vitrail
