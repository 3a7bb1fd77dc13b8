// SPDX-License-Identifier: Apache-2.0
// QuantizeLinear and DequantizeLinear: q = saturate(round(x / scale) + zero point), x = (q - zero point) ·
// scale, computed in float32 as ONNX's own implementation does, since a tie must fall the same way. An 8-bit float has
// the zero point 0 and rounds to its own next number.
#include <cmath>

#include "backends/reference/shapes.h"
#include "backends/reference/types.h"
#include "core/float8.h"
#include "graph/infer.h"

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

// The precision that the quotient is asked in; float32 where nothing is said.
Result<DType> precision_of(const Call& call) {
  const int64_t asked = call.node.integer("precision", 0);
  if (asked == 0) return DType::kF32;
  const DType precision = dtype_from_onnx(asked);
  if (precision == DType::kF32 || precision == DType::kF16 || precision == DType::kBF16) return precision;
  return call.error("precision {} is none of float32, float16 and bfloat16", asked);
}

float rounded_to(float x, DType precision) {
  if (precision == DType::kF16) return half_to_float(float_to_half(x));
  return precision == DType::kBF16 ? bfloat16_to_float(float_to_bfloat16(x)) : x;
}

Status check_zero_points(const Call& call, const Tensor* zero) {
  if (!zero || !is_float8(zero->dtype())) return {};
  for (uint8_t z : zero->as<uint8_t>())
    if ((z & 0x7F) != 0) return call.error("the zero point of {} numbers is not 0", dtype_name(zero->dtype()));
  return {};
}

template <class X>
Result<Tensor> quantize_from(const Call& call, const ScaleIndex& index, DType to) {
  const Tensor& x = call.input(0);
  const Tensor* zero = call.optional(2);
  const auto scale = call.input(1).as<float>();
  VTL_ASSIGN(const DType precision, precision_of(call));
  VTL_TRY(check_zero_points(call, zero));
  VTL_ASSIGN(Tensor y, make_output(call, to, x.shape()));
  const auto in = x.as<X>();
  const auto quotient = [&](size_t i, size_t s) {
    if (precision == DType::kF32) return static_cast<float>(in[i]) / scale[s];
    return rounded_to(rounded_to(static_cast<float>(in[i]), precision) / rounded_to(scale[s], precision), precision);
  };
  if (is_float8(to)) {
    const bool saturate = call.node.integer("saturate", 1) != 0;
    const auto out = y.as_mutable<uint8_t>();
    for (size_t i = 0; i < in.size(); ++i)
      out[i] = float_to_float8(quotient(i, index(static_cast<int64_t>(i))), to, saturate);
    return y;
  }
  return with_quantized(call, to, [&]<class Q>() -> Result<Tensor> {
    const auto out = y.as_mutable<Q>();
    for (size_t i = 0; i < in.size(); ++i) {
      const size_t s = index(static_cast<int64_t>(i));
      out[i] = to_integer<Q>(static_cast<double>(std::nearbyint(quotient(i, s))) +
                             static_cast<double>(zero_point<Q>(zero, s)));
    }
    return y;
  });
}

DType quantized_type(const Call& call) {
  if (const Tensor* zero = call.optional(2)) return zero->dtype();
  const int64_t told = call.node.integer("output_dtype", 0);
  return told == 0 ? DType::kU8 : dtype_from_onnx(told);
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
  VTL_TRY(check_zero_points(call, zero));
  VTL_ASSIGN(Tensor y, make_output(call, DType::kF32, x.shape()));
  if (is_float8(x.dtype())) {
    const auto in = x.as<uint8_t>();
    const auto out = y.as_mutable<float>();
    for (size_t i = 0; i < in.size(); ++i)
      out[i] = float8_to_float(in[i], x.dtype()) * scale[index(static_cast<int64_t>(i))];
    return y;
  }
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
