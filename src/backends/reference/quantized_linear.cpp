// SPDX-License-Identifier: Apache-2.0
// QuantizedLinear: activation(x_scale · w_scale · (x - x_zero_point) · W + b) + residual, rounded once. The
// sums are integers, which doubles hold exactly.
#include "backends/reference/functions.h"
#include "backends/reference/multiply.h"
#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {
namespace {

Status check_float(const Call& call, const char* name, const Tensor* t, const Shape& shape) {
  if (!t || (t->dtype() == DType::kF32 && t->shape() == shape)) return Status();
  return call.error("{} is {}{}, needed is float32{}", name, dtype_name(t->dtype()), to_string(t->shape()),
                    to_string(shape));
}

}  // namespace

// x [...,K] int8 or uint8, W [K,N] int8, w_scale [N], b [N]?, residual [...,N]? -> [...,N] float32
Result<Tensor> quantized_linear(const Call& call) {
  const Tensor &x = call.input(0), &w = call.input(1), &w_scale = call.input(2);
  const Tensor *bias = call.optional(3), *residual = call.optional(4);
  if ((x.dtype() != DType::kI8 && x.dtype() != DType::kU8) || w.dtype() != DType::kI8)
    return call.error("x is {} and W is {}", dtype_name(x.dtype()), dtype_name(w.dtype()));
  if (x.rank() == 0 || w.rank() != 2 || x.shape().back() != w.dim(0))
    return call.error("x {} and W {} do not fit", to_string(x.shape()), to_string(w.shape()));
  const int64_t depth = w.dim(0), n = w.dim(1);
  Shape shape = x.shape();
  shape.back() = n;
  VTL_TRY(check_float(call, "w_scale", &w_scale, {n}));
  VTL_TRY(check_float(call, "bias", bias, {n}));
  VTL_TRY(check_float(call, "residual", residual, shape));
  const std::string name = call.node.text("activation", "none");
  const ScalarFunction activation = activation_function(name);
  if (!activation) return call.error("activation '{}' is not known", name);
  const auto x_scale = static_cast<double>(call.node.real("x_scale", 1));
  const auto zero = static_cast<double>(call.node.integer("x_zero_point", 0));
  VTL_ASSIGN(Tensor y, make_output(call, DType::kF32, shape));
  int64_t m = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) m *= shape[i];
  const auto* pw = w.as<int8_t>().data();
  const auto* ps = w_scale.as<float>().data();
  const auto* pb = bias ? bias->as<float>().data() : nullptr;
  const auto* pr = residual ? residual->as<float>().data() : nullptr;
  auto* out = y.as_mutable<float>().data();
  return with_number(call, x.dtype(), [&]<class X>() -> Result<Tensor> {
    const X* px = x.as<X>().data();
    multiply(
        m, depth, n,
        [&](int64_t row, double* to) {
          for (int64_t k = 0; k < depth; ++k) to[k] = static_cast<double>(px[row * depth + k]) - zero;
        },
        [&](int64_t column, int64_t width, double* to) {
          for (int64_t k = 0; k < depth; ++k) std::copy_n(pw + k * n + column, width, to + k * kPanel);
        },
        [&](int64_t row, int64_t column, std::span<const double> sums) {
          for (size_t j = 0; j < sums.size(); ++j) {
            const int64_t at = column + static_cast<int64_t>(j);
            const double product = x_scale * static_cast<double>(ps[at]) * sums[j];
            const double v = activation(pb ? product + static_cast<double>(pb[at]) : product);
            out[row * n + at] = static_cast<float>(pr ? v + static_cast<double>(pr[row * n + at]) : v);
          }
        },
        call.pool);
    return y;
  });
}

}  // namespace vitrail::reference
