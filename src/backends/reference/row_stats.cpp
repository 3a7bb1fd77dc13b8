// SPDX-License-Identifier: Apache-2.0
// RowStats: mean and sum of squared deviations of each group of 64 columns.
#include <algorithm>

#include "backends/reference/kernel.h"
#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {

Result<Tensor> row_stats(const Call& call) {
  constexpr int64_t kGroup = 64;
  const Tensor& x = call.input(0);
  if (x.rank() == 0 || x.dtype() != DType::kF32) return call.error("x must be rows of float32");
  const int64_t columns = x.shape().back();
  Shape shape = x.shape();
  shape.back() = (columns + kGroup - 1) / kGroup * 2;
  VTL_ASSIGN(Tensor y, make_output(call, DType::kF32, shape));
  const float* row = x.as<float>().data();
  float* out = y.as_mutable<float>().data();
  for (int64_t i = 0; columns > 0 && i < x.count() / columns; ++i, row += columns)
    for (int64_t first = 0; first < columns; first += kGroup) {
      const int64_t n = std::min(kGroup, columns - first);
      double mean = 0, deviations = 0;
      for (int64_t j = 0; j < n; ++j) mean += static_cast<double>(row[first + j]);
      mean /= static_cast<double>(n);
      for (int64_t j = 0; j < n; ++j) {
        const double d = static_cast<double>(row[first + j]) - mean;
        deviations += d * d;
      }
      *out++ = static_cast<float>(mean);
      *out++ = static_cast<float>(deviations);
    }
  return y;
}

}  // namespace vitrail::reference
