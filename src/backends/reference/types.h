// SPDX-License-Identifier: Apache-2.0
// From a run-time element type to a template argument.
#pragma once

#include <limits>
#include <type_traits>

#include "backends/reference/kernel.h"

namespace vitrail::reference {

// Floats compute in double; integers in uint64_t, whose arithmetic wraps around and is never undefined.
template <class T>
using Wide = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;

// Calls f.operator()<T>() with float or double.
template <class F>
Result<Tensor> with_float(const Call& call, DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32:
      return f.template operator()<float>();
    case DType::kF64:
      return f.template operator()<double>();
    default:
      return call.error("{} is not a float type that this operator computes in", dtype_name(dtype));
  }
}

// As with_float, and all integers.
template <class F>
Result<Tensor> with_number(const Call& call, DType dtype, F&& f) {
  switch (dtype) {
    case DType::kI8:
      return f.template operator()<int8_t>();
    case DType::kU8:
      return f.template operator()<uint8_t>();
    case DType::kI16:
      return f.template operator()<int16_t>();
    case DType::kU16:
      return f.template operator()<uint16_t>();
    case DType::kI32:
      return f.template operator()<int32_t>();
    case DType::kU32:
      return f.template operator()<uint32_t>();
    case DType::kI64:
      return f.template operator()<int64_t>();
    case DType::kU64:
      return f.template operator()<uint64_t>();
    case DType::kF32:
    case DType::kF64:
      return with_float(call, dtype, f);
    default:
      return call.error("{} is not a number type that this operator computes in", dtype_name(dtype));
  }
}

// As with_number, and booleans as uint8_t: a byte from a file may hold more than 0 and 1, which a C++ bool
// must not.
template <class F>
Result<Tensor> with_any(const Call& call, DType dtype, F&& f) {
  return dtype == DType::kBool ? f.template operator()<uint8_t>() : with_number(call, dtype, f);
}

// Towards zero; out of range saturates and NaN becomes 0, so that every bit pattern has an answer.
template <class T>
T to_integer(double x) {
  if (x != x) return 0;
  if (x <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  if (x >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return static_cast<T>(x);
}

template <class To, class From>
To convert(From x) {
  if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>)
    return to_integer<To>(static_cast<double>(x));
  else
    return static_cast<To>(x);
}

}  // namespace vitrail::reference
