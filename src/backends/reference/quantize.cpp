// SPDX-License-Identifier: Apache-2.0
// QuantizeLinear and DequantizeLinear: q = saturate(round(x / scale) + zero point), x = (q - zero point) ·
// scale, computed in float32 as ONNX's own implementation does, since a tie must fall the same way.
#include <cmath>

#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {
namespace {

// Which scale belongs to which element: one for all, one for each index of an axis, one for each block along
// it.
struct ScaleIndex {
  AxisSplit split;
  int64_t block = 0, blocks = 0;
  bool single = true;

  size_t operator()(int64_t element) const {
    if (single) return 0;
    const int64_t inner = element % split.inner, row = element / split.inner;
    if (block == 0) return static_cast<size_t>(row % split.extent);
    return static_cast<size_t>((row / split.extent * blocks + row % split.extent / block) * split.inner +
                               inner);
  }
};

Result<ScaleIndex> scale_index(const Call& call) {
  const Tensor &x = call.input(0), &scale = call.input(1);
  const Tensor* zero = call.optional(2);
  if (scale.dtype() != DType::kF32) return call.error("its scale is {}", dtype_name(scale.dtype()));
  if (const int64_t precision = call.node.integer("precision", 0); precision > 1)
    return call.error("precision {} is not float32", precision);
  const bool single = scale.count() == 1;
  if (zero && zero->shape() != scale.shape() && !(single && zero->count() == 1))
    return call.error("scale {} and zero point {} differ", to_string(scale.shape()),
                      to_string(zero->shape()));
  ScaleIndex index;
  if (single) return index;
  VTL_ASSIGN(const size_t axis, normalize_axis(call, call.node.integer("axis", 1), x.rank()));
  index.single = false;
  index.split = split_at(x.shape(), axis);
  index.block = call.node.integer("block_size", 0);
  if (index.block < 0) return call.error("block_size cannot be {}", index.block);
  Shape wanted{x.dim(axis)};
  if (index.block > 0) {
    wanted = x.shape();
    index.blocks = wanted[axis] = (x.dim(axis) - 1) / index.block + 1;
  }
  if (scale.shape() != wanted)
    return call.error("scale is {}, needed is {}", to_string(scale.shape()), to_string(wanted));
  return index;
}

template <class F>
Result<Tensor> with_quantized(const Call& call, DType dtype, F&& f) {
  switch (dtype) {
    case DType::kI8:
    case DType::kU8:
    case DType::kI16:
    case DType::kU16:
    case DType::kI32:
      return with_number(call, dtype, f);
    default:
      return call.error("{} is not a type that holds quantized numbers", dtype_name(dtype));
  }
}

template <class Q>
int64_t zero_point(const Tensor* zero, size_t i) {
  return zero ? static_cast<int64_t>(zero->as<Q>()[i]) : 0;
}

template <class X>
Result<Tensor> quantize_from(const Call& call, const ScaleIndex& index, DType to) {
  const Tensor& x = call.input(0);
  const Tensor* zero = call.optional(2);
  const auto scale = call.input(1).as<float>();
  VTL_ASSIGN(Tensor y, make_output(call, to, x.shape()));
  return with_quantized(call, to, [&]<class Q>() -> Result<Tensor> {
    const auto in = x.as<X>();
    const auto out = y.as_mutable<Q>();
    for (size_t i = 0; i < in.size(); ++i) {
      const size_t s = index(static_cast<int64_t>(i));
      const float scaled = static_cast<float>(in[i]) / scale[s];
      out[i] = to_integer<Q>(static_cast<double>(std::nearbyint(scaled)) +
                             static_cast<double>(zero_point<Q>(zero, s)));
    }
    return y;
  });
}

// ONNX's number for a type, where the zero point does not say it.
DType quantized_type(const Call& call) {
  if (const Tensor* zero = call.optional(2)) return zero->dtype();
  switch (call.node.integer("output_dtype", 0)) {
    case 3:
      return DType::kI8;
    case 4:
      return DType::kU16;
    case 5:
      return DType::kI16;
    case 0:
    case 2:
      return DType::kU8;
    default:
      return DType::kUndefined;
  }
}

}  // namespace

Result<Tensor> quantize_linear(const Call& call) {
  VTL_ASSIGN(const ScaleIndex index, scale_index(call));
  const DType from = call.input(0).dtype(), to = quantized_type(call);
  if (from == DType::kF32) return quantize_from<float>(call, index, to);
  if (from == DType::kI32) return quantize_from<int32_t>(call, index, to);
  return call.error("{} cannot be quantized", dtype_name(from));
}

Result<Tensor> dequantize_linear(const Call& call) {
  VTL_ASSIGN(const ScaleIndex index, scale_index(call));
  const Tensor& x = call.input(0);
  const Tensor* zero = call.optional(2);
  if (zero && zero->dtype() != x.dtype())
    return call.error("its input is {}, its zero point {}", dtype_name(x.dtype()), dtype_name(zero->dtype()));
  const auto scale = call.input(1).as<float>();
  VTL_ASSIGN(Tensor y, make_output(call, DType::kF32, x.shape()));
  return with_quantized(call, x.dtype(), [&]<class Q>() -> Result<Tensor> {
    const auto in = x.as<Q>();
    const auto out = y.as_mutable<float>();
    for (size_t i = 0; i < in.size(); ++i) {
      const size_t s = index(static_cast<int64_t>(i));
      out[i] = static_cast<float>(static_cast<int64_t>(in[i]) - zero_point<Q>(zero, s)) * scale[s];
    }
    return y;
  });
}

}  // namespace vitrail::reference
