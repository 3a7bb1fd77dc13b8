// SPDX-License-Identifier: Apache-2.0
// From what calibration saw of a value to the range that its 8 bits span.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "quant/histogram.h"

namespace vitrail::quant {

enum class RangeMethod {
  kMinMax,      // all of it
  kPercentile,  // without the share 1 - percentile at either end
  kEntropy,     // least Kullback-Leibler divergence of the quantized distribution (Migacz, GTC 2017)
  kMse,         // least mean square error, rounding and clipping together
};
std::string_view method_name(RangeMethod method);                     // "minmax", "percentile", "entropy", "mse"
std::optional<RangeMethod> method_from_name(std::string_view name);

struct Range {
  float low = 0, high = 0;
  bool operator==(const Range&) const = default;
};

inline constexpr double kPercentile = 0.9999;

// How a range is chosen.
struct RangeRule {
  RangeMethod method = RangeMethod::kMse;
  double percentile = kPercentile;
  bool symmetric = false;  // int8 around 0, as TensorRT computes, instead of uint8 with a zero point
};

// uint8 numbers q for x: q = saturate(round(x / scale) + zero). Symmetric: written as int8 q - 128, zero is 128.
struct ByteParams {
  float scale = 1;
  uint8_t zero = 0;
  bool symmetric = false;
  int zero_point() const { return symmetric ? 0 : zero; }  // of the numbers as they are written
  float low() const { return -scale * static_cast<float>(zero); }
  float high() const { return scale * static_cast<float>(255 - zero); }
  // The value that x becomes.
  float round_trip(float x) const;
  bool operator==(const ByteParams&) const = default;
};
// A range widened to hold 0, which must be exact (paddings and masks are 0), and its mirror image where symmetric; at least
// 2^-100 wide.
ByteParams byte_params(Range range, bool symmetric = false);

// The range of a distribution. `all` is its smallest and greatest value; the answer lies within.
Range choose_range(const Histogram& histogram, Range all, RangeMethod method, double percentile = kPercentile);
ByteParams choose_params(const Histogram& histogram, Range all, const RangeRule& rule);

// The range within `all` with the least sum over rows [R][K] of importance[k] · (x - round trip of x)²: the
// square error of the product that reads the rows, when importance[k] is the square norm of its weights' row k. Symmetric:
// one around 0.
Range least_error_range(std::span<const float> rows, std::span<const float> importance, Range all, bool symmetric = false);

}  // namespace vitrail::quant
