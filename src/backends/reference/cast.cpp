// SPDX-License-Identifier: Apache-2.0
// Cast and CastLike between all types.
#include <bit>
#include <cmath>

#include "backends/reference/shapes.h"
#include "backends/reference/types.h"
#include "core/float8.h"
#include "core/half.h"
#include "graph/infer.h"

namespace vitrail::reference {
namespace {

bool is_half(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }

// double → float that rounds to odd, so that rounding on to 16 bits equals one rounding.
float to_float_odd(double x) {
  const float f = static_cast<float>(x);
  if (static_cast<double>(f) == x || x != x || std::isinf(f)) return f;
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  if (bits & 1) return f;
  const bool away = std::abs(static_cast<double>(f)) > std::abs(x);
  return std::bit_cast<float>(away ? bits - 1 : bits + 1);
}

template <class From>
Result<Tensor> cast_from(const Call& call, DType to) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(Tensor y, make_output(call, to, x.shape()));
  const auto in = x.as<From>();
  // Reads one element; halves come in as float16 or bfloat16 bits.
  auto read = [&](size_t i) {
    if constexpr (std::is_same_v<From, uint16_t>) {
      if (x.dtype() == DType::kF16) return static_cast<double>(half_to_float(in[i]));
      if (x.dtype() == DType::kBF16) return static_cast<double>(bfloat16_to_float(in[i]));
      return static_cast<double>(in[i]);
    } else if constexpr (std::is_same_v<From, uint8_t>) {
      if (is_float8(x.dtype())) return static_cast<double>(float8_to_float(in[i], x.dtype()));
      return static_cast<double>(x.dtype() == DType::kBool ? in[i] != 0 : in[i]);
    } else {
      return in[i];
    }
  };
  if (to == DType::kBool) {
    const auto out = y.as_mutable<uint8_t>();
    for (size_t i = 0; i < in.size(); ++i) out[i] = read(i) != 0;
    return y;
  }
  if (is_half(to)) {
    const auto out = y.as_mutable<uint16_t>();
    for (size_t i = 0; i < in.size(); ++i) {
      const float f = to_float_odd(static_cast<double>(read(i)));
      out[i] = to == DType::kF16 ? float_to_half(f) : float_to_bfloat16(f);
    }
    return y;
  }
  if (is_float8(to)) {
    const bool saturate = call.node.integer("saturate", 1) != 0;
    const auto out = y.as_mutable<uint8_t>();
    for (size_t i = 0; i < in.size(); ++i)
      out[i] = float_to_float8(to_float_odd(static_cast<double>(read(i))), to, saturate);
    return y;
  }
  return with_number(call, to, [&]<class To>() -> Result<Tensor> {
    const auto out = y.as_mutable<To>();
    for (size_t i = 0; i < in.size(); ++i) out[i] = convert<To>(read(i));
    return y;
  });
}

}  // namespace

Result<Tensor> cast(const Call& call) {
  const Tensor& x = call.input(0);
  const DType to =
      call.node.op == Op::CastLike ? call.input(1).dtype() : dtype_from_onnx(call.node.integer("to", 0));
  if (to == DType::kUndefined)
    return call.error("to = {} is not a type that Vitrail has", call.node.integer("to", 0));
  if (to == x.dtype()) return x;
  if (is_half(x.dtype())) return cast_from<uint16_t>(call, to);
  if (is_float8(x.dtype())) return cast_from<uint8_t>(call, to);
  return with_any(call, x.dtype(), [&]<class From>() { return cast_from<From>(call, to); });
}

}  // namespace vitrail::reference
