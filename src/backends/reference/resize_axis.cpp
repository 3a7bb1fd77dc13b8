// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/resize_axis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace vitrail::reference {
namespace {

template <class E, size_t N>
bool look_up(const std::array<std::pair<std::string_view, E>, N>& names, std::string_view name, E& value) {
  for (const auto& [known, v] : names)
    if (known == name) return value = v, true;
  return false;
}

}  // namespace

bool ResizeAxis::set_mode(std::string_view mode, std::string_view coordinates, std::string_view rounding) {
  using enum Coordinates;
  static constexpr std::array<std::pair<std::string_view, Filter>, 3> kFilters{
      {{"nearest", Filter::kNearest}, {"linear", Filter::kLinear}, {"cubic", Filter::kCubic}}};
  static constexpr std::array<std::pair<std::string_view, Coordinates>, 6> kCoordinates{
      {{"half_pixel", kHalfPixel},
       {"pytorch_half_pixel", kPytorchHalfPixel},
       {"half_pixel_symmetric", kSymmetric},
       {"align_corners", kAlignCorners},
       {"asymmetric", kAsymmetric},
       {"tf_crop_and_resize", kCrop}}};
  static constexpr std::array<std::pair<std::string_view, Rounding>, 4> kRoundings{
      {{"round_prefer_floor", Rounding::kPreferFloor},
       {"round_prefer_ceil", Rounding::kPreferCeil},
       {"floor", Rounding::kFloor},
       {"ceil", Rounding::kCeil}}};
  return look_up(kFilters, mode, filter_) && look_up(kCoordinates, coordinates, coordinates_) &&
         look_up(kRoundings, rounding, rounding_);
}

double ResizeAxis::position(int64_t i) const {
  const auto x = static_cast<double>(i), length = static_cast<double>(in);
  const double resized = scale * length;  // before it was rounded to `out`
  switch (coordinates_) {
    case Coordinates::kHalfPixel:
      return (x + 0.5) / scale - 0.5;
    case Coordinates::kPytorchHalfPixel:
      return out == 1 ? 0 : (x + 0.5) / scale - 0.5;
    case Coordinates::kSymmetric:
      return length / 2 * (1 - static_cast<double>(out) / resized) + (x + 0.5) / scale - 0.5;
    case Coordinates::kAlignCorners:
      return resized == 1 ? 0 : x * (length - 1) / (resized - 1);
    case Coordinates::kAsymmetric:
      return x / scale;
    case Coordinates::kCrop:
      break;
  }
  const double span = (roi_end - roi_start) * (length - 1);
  return roi_start * (length - 1) + (resized == 1 ? span / 2 : x * span / (resized - 1));
}

int64_t ResizeAxis::nearest(double x) const {
  switch (rounding_) {
    case Rounding::kPreferFloor:
      x = std::ceil(x - 0.5);
      break;
    case Rounding::kPreferCeil:
      x = std::floor(x + 0.5);
      break;
    case Rounding::kFloor:
      x = std::floor(x);
      break;
    case Rounding::kCeil:
      x = std::ceil(x);
      break;
  }
  return static_cast<int64_t>(std::clamp(x, 0.0, static_cast<double>(in - 1)));
}

// The triangle, or the cubic convolution of Keys (1981) with coefficient `cubic`.
double ResizeAxis::weight(double distance) const {
  const double t = std::abs(distance), a = cubic;
  if (filter_ == Filter::kLinear) return std::max(1 - t, 0.0);
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return t < 2 ? ((t - 5) * t + 8) * t * a - 4 * a : 0;
}

std::vector<ResizeTap> ResizeAxis::taps(int64_t i) const {
  if (!active) return {{i, 1}};
  const double x = position(i);
  if (crops() && !(x >= 0 && x <= static_cast<double>(in - 1))) return {};
  if (is_nearest()) return {{nearest(x), 1}};
  // An antialiased filter is stretched over the inputs that one output stands for.
  const double shrink = antialias ? std::min(scale, 1.0) : 1.0, support = filter_ == Filter::kLinear ? 1 : 2;
  const double base = std::ceil(x) - 1, first = base + std::floor(-support / shrink) + 1;
  const auto count = static_cast<int64_t>(2 * (base - first) + 2);
  std::vector<ResizeTap> taps;
  double sum = 0;
  for (int64_t k = 0; k < count; ++k) {
    const double at = first + static_cast<double>(k), last = static_cast<double>(in - 1);
    if (exclude_outside && (at < 0 || at > last)) continue;
    taps.push_back({static_cast<int64_t>(std::clamp(at, 0.0, last)), weight((at - x) * shrink)});
    sum += taps.back().weight;
  }
  for (ResizeTap& tap : taps) tap.weight /= sum;
  return taps;
}

}  // namespace vitrail::reference
