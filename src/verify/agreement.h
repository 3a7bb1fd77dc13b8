// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace vitrail {

// How often two classifiers name the same classes, over rows of logits. Of equal logits the lower class comes
// first, NaN comes last, so that the outcome does not depend on the sort.
class Agreement {
 public:
  // One row of logits from each. Rows of fewer than 2 classes are not counted.
  void add_row(std::span<const double> got, std::span<const double> want);

  std::optional<double> top1() const;  // share of rows with the same first class; none without rows
  std::optional<double> top5() const;  // mean share of the five first that both have; none under 5 classes
  int64_t rows() const { return rows_; }

 private:
  int64_t rows_ = 0, same_first_ = 0;
  int64_t rows5_ = 0, common5_ = 0;
};

}  // namespace vitrail
