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

double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

// With single-precision constants, as Pillow has them.
double hamming(double x) {
  x = std::abs(x);
  if (x == 0.0) return 1.0;
  if (x >= 1.0) return 0.0;
  x *= std::numbers::pi;
  return std::sin(x) / x * (0.54f + 0.46f * std::cos(x));
}

struct Filter {
  double (*weight)(double);
  double support;  // in source pixels when enlarging
};

Filter filter_of(Interpolation interpolation) {
  switch (interpolation) {
    case Interpolation::kBox:
      return {box, 0.5};
    case Interpolation::kBilinear:
      return {bilinear, 1.0};
    case Interpolation::kHamming:
      return {hamming, 1.0};
    case Interpolation::kBicubic:
      return {bicubic, 2.0};
    case Interpolation::kLanczos:
    case Interpolation::kNearest:
      break;
  }
  return {lanczos, 3.0};
}

// The normalised weights of one output pixel.
struct Window {
  int begin = 0, end = 0;  // source pixels
  std::vector<double> weights;
};

class Axis {
 public:
  Axis(Interpolation interpolation, int source, int64_t target)
      : filter_(filter_of(interpolation)),
        source_(source),
        scale_(static_cast<double>(source) / static_cast<double>(target)),
        support_(filter_.support * std::max(scale_, 1.0)),  // a smaller picture needs a wider filter
        inverse_(1.0 / std::max(scale_, 1.0)) {}

  void window(int64_t index, Window& out) const {
    const double center = (static_cast<double>(index) + 0.5) * scale_;
    out.begin = std::max(0, static_cast<int>(center - support_ + 0.5));
    out.end = std::min(source_, static_cast<int>(center + support_ + 0.5));
    out.weights.clear();
    double sum = 0.0;
    for (int x = out.begin; x < out.end; ++x) {
      out.weights.push_back(filter_.weight((x - center + 0.5) * inverse_));
      sum += out.weights.back();
    }
    if (sum != 0.0)
      for (double& w : out.weights) w /= sum;
  }

 private:
  Filter filter_;
  int source_;
  double scale_, support_, inverse_;
};

// PyTorch gives the weights of an axis as many fractional bits as keep the largest below 2^15.
int torch_bits(const Axis& axis, int64_t target) {
  double largest = 0;
  Window window;
  for (int64_t i = 0; i < target; ++i) {
    axis.window(i, window);
    for (double w : window.weights) largest = std::max(largest, w);
  }
  int bits = 0;
  while (bits < kWeightBits && static_cast<int>(0.5 + largest * (1 << (bits + 1))) < 1 << 15) ++bits;
  return bits;
}

int32_t halves(int32_t first, int32_t second) {
  return static_cast<int32_t>(static_cast<uint32_t>(first & 0xffff) | static_cast<uint32_t>(second) << 16);
}

// Cuts the weights for the kernels.
void make_pairs(Taps& taps) {
  constexpr int32_t kMask = (1 << kLowBits) - 1, kMax = 1 << (15 + kLowBits);
  if (std::ranges::any_of(taps.weights, [](int32_t w) { return w >= kMax || w < -kMax; })) return;
  for (Taps::Window& window : taps.windows) {
    window.pairs = taps.pairs.size();
    for (int i = 0; i < window.count; i += 2) {
      const int32_t a = taps.weights[window.weights + i];
      const int32_t b = i + 1 < window.count ? taps.weights[window.weights + i + 1] : 0;
      taps.pairs.push_back({halves(a >> kLowBits, b >> kLowBits), halves(a & kMask, b & kMask)});
    }
  }
}

}  // namespace

Taps make_taps(Interpolation interpolation, int source, int64_t target, int64_t first, int count,
               Arithmetic arithmetic) {
  const Axis axis(interpolation, source, target);
  Taps taps;
  taps.bits = arithmetic == Arithmetic::kTorch ? torch_bits(axis, target) : kWeightBits;
  taps.begin = source;
  taps.windows.reserve(count);
  Window window;
  for (int64_t i = first; i < first + count; ++i) {
    axis.window(i, window);
    taps.windows.push_back({window.begin, window.end - window.begin, taps.weights.size(), 0});
    for (double w : window.weights)
      taps.weights.push_back(static_cast<int32_t>((w < 0 ? -0.5 : 0.5) + w * (1 << taps.bits)));
    taps.begin = std::min(taps.begin, window.begin);
    taps.end = std::max(taps.end, window.end);
  }
  make_pairs(taps);
  return taps;
}

}  // namespace vitrail
