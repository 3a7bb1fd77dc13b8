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

// uint8 numbers q for x: q = saturate(round(x / scale) + zero).
struct ByteParams {
  float scale = 1;
  uint8_t zero = 0;
  float low() const { return -scale * static_cast<float>(zero); }
  float high() const { return scale * static_cast<float>(255 - zero); }
  // The value that x becomes.
  float round_trip(float x) const;
  bool operator==(const ByteParams&) const = default;
};
// A range widened to hold 0, which must be exact (paddings and masks are 0); at least 2^-100 wide.
ByteParams byte_params(Range range);

inline constexpr double kPercentile = 0.9999;

// The range of a distribution. `all` is its smallest and greatest value; the answer lies within.
Range choose_range(const Histogram& histogram, Range all, RangeMethod method, double percentile = kPercentile);

// The range within `all` with the least sum over rows [R][K] of importance[k] · (x - round trip of x)²: the
// square error of the product that reads the rows, when importance[k] is the square norm of its weights' row k.
Range least_error_range(std::span<const float> rows, std::span<const float> importance, Range all);

}  // namespace vitrail::quant
