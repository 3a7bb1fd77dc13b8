// SPDX-License-Identifier: Apache-2.0
// LayerNormalization, and BatchNormalization at inference.
#include <cmath>

#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {

// y = (x - mean) / sqrt(variance + epsilon) * scale + bias over the axes from `axis` on; population variance
// in two passes. scale and bias broadcast to x.
Result<Tensor> layer_normalization(const Call& call) {
  const Tensor &x = call.input(0), &scale = call.input(1);
  const Tensor* bias = call.optional(2);
  VTL_ASSIGN(const size_t axis, normalize_axis(call, call.node.integer("axis", -1), x.rank()));
  VTL_ASSIGN(const Shape scale_strides, broadcast_strides(call, scale.shape(), x.shape()));
  VTL_ASSIGN(const Shape bias_strides, broadcast_strides(call, bias ? bias->shape() : Shape{}, x.shape()));
  if (scale.dtype() != x.dtype() || (bias && bias->dtype() != x.dtype()))
    return call.error("x is {}, but scale or bias is not", dtype_name(x.dtype()));
  const double epsilon = static_cast<double>(call.node.real("epsilon", 1e-5f));
  const AxisSplit s = split_at(x.shape(), axis);
  const int64_t width = s.extent * s.inner;
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), x.shape()));
  return with_float(call, x.dtype(), [&]<class T>() -> Result<Tensor> {
    const T *in = x.as<T>().data(), *gain = scale.as<T>().data(),
            *shift = bias ? bias->as<T>().data() : nullptr;
    T* out = y.as_mutable<T>().data();
    double mean = 0, norm = 0;
    walk<2>(x.shape(), {scale_strides, bias_strides}, [&](int64_t i, const auto& at) {
      if (i % width == 0) {  // a new row
        double sum = 0, squares = 0;
        for (int64_t k = 0; k < width; ++k) sum += static_cast<double>(in[i + k]);
        mean = sum / static_cast<double>(width);
        for (int64_t k = 0; k < width; ++k)
          squares += (static_cast<double>(in[i + k]) - mean) * (static_cast<double>(in[i + k]) - mean);
        norm = 1.0 / std::sqrt(squares / static_cast<double>(width) + epsilon);
      }
      const double v = (static_cast<double>(in[i]) - mean) * norm * static_cast<double>(gain[at[0]]);
      out[i] = static_cast<T>(shift ? v + static_cast<double>(shift[at[1]]) : v);
    });
    return y;
  });
}

Result<Tensor> batch_normalization(const Call& call) {
  const Tensor& x = call.input(0);
  if (call.node.integer("training_mode", 0) != 0)
    return call.error("training_mode is on; export the model for inference");
  if (x.rank() < 2) return call.error("needs [N,C,…], got {}", to_string(x.shape()));
  for (size_t i = 1; i < 5; ++i)
    if (call.input(i).shape() != Shape{x.dim(1)} || call.input(i).dtype() != x.dtype())
      return call.error("input {} is {} {}, needs {} [{}]", i, dtype_name(call.input(i).dtype()),
                        to_string(call.input(i).shape()), dtype_name(x.dtype()), x.dim(1));
  const double epsilon = static_cast<double>(call.node.real("epsilon", 1e-5f));
  const AxisSplit s = split_at(x.shape(), 1);
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), x.shape()));
  return with_float(call, x.dtype(), [&]<class T>() -> Result<Tensor> {
    auto at = [&](size_t input, int64_t c) {
      return static_cast<double>(call.input(input).as<T>()[static_cast<size_t>(c)]);
    };
    const T* in = x.as<T>().data();
    T* out = y.as_mutable<T>().data();
    for (int64_t plane = 0; plane < s.outer * s.extent; ++plane) {
      const int64_t c = plane % s.extent;
      const double gain = at(1, c) / std::sqrt(at(4, c) + epsilon), shift = at(2, c), mean = at(3, c);
      for (int64_t i = 0; i < s.inner; ++i, ++in, ++out)
        *out = static_cast<T>((static_cast<double>(*in) - mean) * gain + shift);
    }
    return y;
  });
}

}  // namespace vitrail::reference
