// SPDX-License-Identifier: Apache-2.0
#include "preprocess/filter.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace vitrail {
namespace {

double bilinear(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

// Keys' cubic convolution with a = -0.5.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

struct Filter {
  double (*weight)(double);
  double support;  // in source pixels when enlarging
};

Filter filter_of(Interpolation interpolation) {
  if (interpolation == Interpolation::kBilinear) return {bilinear, 1.0};
  if (interpolation == Interpolation::kBicubic) return {bicubic, 2.0};
  return {lanczos, 3.0};
}

}  // namespace

Taps make_taps(Interpolation interpolation, int source, int64_t target, int64_t first, int count) {
  const Filter filter = filter_of(interpolation);
  const double scale = static_cast<double>(source) / static_cast<double>(target);
  const double stretch = std::max(scale, 1.0);  // a smaller picture needs a wider filter: antialiasing
  const double support = filter.support * stretch;
  const double inverse = 1.0 / stretch;

  Taps taps{{}, {}, source, 0};
  taps.windows.reserve(count);
  std::vector<double> window;
  for (int64_t i = first; i < first + count; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const int begin = std::max(0, static_cast<int>(center - support + 0.5));
    const int end = std::min(source, static_cast<int>(center + support + 0.5));
    window.clear();
    double sum = 0.0;
    for (int x = begin; x < end; ++x) {
      window.push_back(filter.weight((x - center + 0.5) * inverse));
      sum += window.back();
    }
    taps.windows.push_back({begin, end - begin, taps.weights.size()});
    for (double w : window) {
      if (sum != 0.0) w /= sum;
      taps.weights.push_back(static_cast<int32_t>((w < 0 ? -0.5 : 0.5) + w * (1 << kWeightBits)));
    }
    taps.begin = std::min(taps.begin, begin);
    taps.end = std::max(taps.end, end);
  }
  return taps;
}

}  // namespace vitrail
