// SPDX-License-Identifier: Apache-2.0
#include "verify/tensor_error.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "verify/elements.h"

namespace vitrail {
namespace {

Shape index_of(size_t flat, const Shape& shape) {
  Shape index(shape.size());
  for (size_t axis = shape.size(); axis-- > 0;) {
    index[axis] = static_cast<int64_t>(flat) % shape[axis];
    flat /= static_cast<size_t>(shape[axis]);
  }
  return index;
}

double cosine(double dot, double got_squares, double want_squares) {
  if (got_squares == 0 || want_squares == 0) return got_squares == want_squares ? 1 : 0;
  return std::clamp(dot / (std::sqrt(got_squares) * std::sqrt(want_squares)), -1.0, 1.0);
}

}  // namespace

void TensorErrorAccumulator::add(std::span<const double> got, std::span<const double> want,
                                 const Shape& shape) {
  TensorError& e = error_;
  double scale = 0;
  for (double w : want) scale = std::isfinite(w) ? std::max(scale, std::abs(w)) : scale;
  const double floor = scale * 1e-6;

  double dot = 0, got_squares = 0, want_squares = 0, max_abs = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double g = got[i], w = want[i];
    auto worst_is_here = [&] {
      e.worst_sample = e.samples;
      e.worst_index = index_of(i, shape);
      e.got = g;
      e.want = w;
    };
    if (!std::isfinite(g) || !std::isfinite(w)) {
      if (e.non_finite++ == 0) worst_is_here();
      continue;
    }
    const double d = std::abs(g - w);
    if (e.count == 0) least_ = greatest_ = w;
    least_ = std::min(least_, w);
    greatest_ = std::max(greatest_, w);
    if (e.non_finite == 0 && (d > e.max_abs || e.count == 0)) worst_is_here();
    e.max_abs = std::max(e.max_abs, d);
    ++e.count;
    max_abs = std::max(max_abs, d);
    if (d > 0) e.max_rel = std::max(e.max_rel, d / std::max(std::abs(w), floor));
    sum_abs_ += d;
    sum_squares_ += d * d;
    dot += g * w;
    got_squares += g * g;
    want_squares += w * w;
  }
  if (max_abs > 0) e.max_scaled = std::max(e.max_scaled, max_abs / scale);
  const double c = cosine(dot, got_squares, want_squares);
  sum_cosine_ += c;
  e.min_cosine = std::min(e.min_cosine, c);
  ++e.samples;
}

Status TensorErrorAccumulator::add(const TensorView& got, const TensorView& want) {
  if (got.count() != want.count())
    return bad_input("{}: the shapes {} and {} cannot be compared", error_.name, to_string(got.shape),
                     to_string(want.shape));
  VTL_ASSIGN(const std::vector<double> got_values, elements(got));
  VTL_ASSIGN(const std::vector<double> want_values, elements(want));
  add(got_values, want_values, want.shape);
  return Status();
}

TensorError TensorErrorAccumulator::result() const {
  TensorError e = error_;
  if (e.non_finite > 0) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    e.max_abs = e.mean_abs = e.max_rel = e.max_scaled = kInfinity;
    e.cosine = e.min_cosine = e.psnr = std::numeric_limits<double>::quiet_NaN();
    return e;
  }
  if (e.samples > 0) e.cosine = sum_cosine_ / static_cast<double>(e.samples);
  if (e.count == 0) return e;
  const auto count = static_cast<double>(e.count);
  e.mean_abs = sum_abs_ / count;
  const double range = greatest_ > least_ ? greatest_ - least_ : std::abs(greatest_);
  e.psnr = sum_squares_ > 0 ? 10 * std::log10(range * range * count / sum_squares_)
                            : std::numeric_limits<double>::infinity();
  return e;
}

}  // namespace vitrail
