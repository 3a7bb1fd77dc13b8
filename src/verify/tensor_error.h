// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "vitrail/status.h"
#include "vitrail/tensor.h"

namespace vitrail {

// How far `got` is from `want` over all samples. Elements that are NaN or infinite on either side are counted
// in `non_finite`; one of them makes every error infinite and the cosines NaN, and the worst place is the
// first of them.
struct TensorError {
  std::string name;
  double max_abs = 0;
  double mean_abs = 0;  // over all elements of all samples
  double max_rel =
      0;  // |got - want| / max(|want|, 1e-6 × max|want| of the sample); infinite if want is all zero
  double max_scaled = 0;  // greatest of max_abs / max|want| of a sample: what the tolerance bounds
  double cosine = 1;      // mean of the samples' cosines; 1 where both are zero, 0 where one is
  double min_cosine = 1;
  double psnr = 0;  // dB, 10 log10(range² / MSE) with the range of want over all samples; infinite if exact
  int64_t count = 0;  // finite elements compared
  int64_t samples = 0;
  int64_t non_finite = 0;
  int64_t worst_sample = 0;  // where max_abs is: sample, index in it, and both values
  Shape worst_index;
  double got = 0, want = 0;
};

class TensorErrorAccumulator {
 public:
  explicit TensorErrorAccumulator(std::string name) { error_.name = std::move(name); }

  // Adds one sample; `shape` is its shape (for worst_index), of as many elements as both spans.
  void add(std::span<const double> got, std::span<const double> want, const Shape& shape);
  // As above from tensors of any type. Fails when their element counts differ, naming both shapes.
  Status add(const TensorView& got, const TensorView& want);

  TensorError result() const;

 private:
  TensorError error_;
  double sum_abs_ = 0, sum_squares_ = 0, sum_cosine_ = 0;
  double least_ = 0, greatest_ = 0;  // of want
};

}  // namespace vitrail
