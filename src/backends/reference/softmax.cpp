// SPDX-License-Identifier: Apache-2.0
// Softmax and LogSoftmax along one axis.
#include <algorithm>
#include <cmath>

#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {

Result<Tensor> softmax(const Call& call) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(const size_t axis, normalize_axis(call, call.node.integer("axis", -1), x.rank()));
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), x.shape()));
  const AxisSplit s = split_at(x.shape(), axis);
  const bool log = call.node.op == Op::LogSoftmax;
  return with_float(call, x.dtype(), [&]<class T>() -> Result<Tensor> {
    for (int64_t row = 0; row < s.outer * s.inner; ++row) {
      const int64_t base = row / s.inner * s.extent * s.inner + row % s.inner;
      const T* in = x.as<T>().data() + base;
      T* out = y.as_mutable<T>().data() + base;
      double top = -INFINITY, sum = 0;
      for (int64_t i = 0; i < s.extent; ++i) top = std::max(top, static_cast<double>(in[i * s.inner]));
      for (int64_t i = 0; i < s.extent; ++i) sum += std::exp(static_cast<double>(in[i * s.inner]) - top);
      for (int64_t i = 0; i < s.extent; ++i) {
        const double shifted = static_cast<double>(in[i * s.inner]) - top;
        out[i * s.inner] = static_cast<T>(log ? shifted - std::log(sum) : std::exp(shifted) / sum);
      }
    }
    return y;
  });
}

}  // namespace vitrail::reference
