// SPDX-License-Identifier: Apache-2.0
// Linear: activation(x · W + b) + residual, rounded once.
#include "backends/reference/functions.h"
#include "backends/reference/multiply.h"
#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {

// x [...,K], W [K,N], b [N]?, residual [...,N]? -> [...,N]
Result<Tensor> linear(const Call& call) {
  const Tensor &x = call.input(0), &w = call.input(1);
  const Tensor *bias = call.optional(2), *residual = call.optional(3);
  if (x.rank() == 0 || w.rank() != 2 || x.shape().back() != w.dim(0))
    return call.error("x {} and W {} do not fit", to_string(x.shape()), to_string(w.shape()));
  const int64_t depth = w.dim(0), n = w.dim(1);
  Shape shape = x.shape();
  shape.back() = n;
  if (bias && bias->shape() != Shape{n})
    return call.error("bias {} is not [{}]", to_string(bias->shape()), n);
  if (residual && residual->shape() != shape)
    return call.error("residual {} is not {}", to_string(residual->shape()), to_string(shape));
  for (const Tensor* t : {&w, bias, residual})
    if (t && t->dtype() != x.dtype())
      return call.error("x is {}, another input is {}", dtype_name(x.dtype()), dtype_name(t->dtype()));
  const std::string name = call.node.text("activation", "none");
  const ScalarFunction activation = activation_function(name);
  if (!activation) return call.error("activation '{}' is not known", name);
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), shape));
  int64_t m = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) m *= shape[i];
  return with_float(call, x.dtype(), [&]<class T>() -> Result<Tensor> {
    const T *px = x.as<T>().data(), *pw = w.as<T>().data();
    const T *pb = bias ? bias->as<T>().data() : nullptr, *pr = residual ? residual->as<T>().data() : nullptr;
    T* out = y.as_mutable<T>().data();
    multiply(
        m, depth, n, [&](int64_t row, double* to) { std::copy_n(px + row * depth, depth, to); },
        [&](int64_t column, int64_t width, double* to) {
          for (int64_t k = 0; k < depth; ++k) std::copy_n(pw + k * n + column, width, to + k * kPanel);
        },
        [&](int64_t row, int64_t column, std::span<const double> sums) {
          for (size_t j = 0; j < sums.size(); ++j) {
            const int64_t at = column + static_cast<int64_t>(j);
            const double v = activation(pb ? sums[j] + static_cast<double>(pb[at]) : sums[j]);
            out[row * n + at] = static_cast<T>(pr ? v + static_cast<double>(pr[row * n + at]) : v);
          }
        },
        call.pool);
    return y;
  });
}

}  // namespace vitrail::reference
