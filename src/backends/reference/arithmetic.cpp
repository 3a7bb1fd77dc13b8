// SPDX-License-Identifier: Apache-2.0
// Element-wise arithmetic with broadcasting.
#include <cmath>

#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {
namespace {

// f(T, U) -> T for every element of two broadcast tensors.
template <class T, class U, class F>
Result<Tensor> map_pair(const Call& call, const Tensor& a, const Tensor& b, const F& f) {
  VTL_ASSIGN(const Shape shape, broadcast_shapes(call, a.shape(), b.shape()));
  VTL_ASSIGN(const Shape sa, broadcast_strides(call, a.shape(), shape));
  VTL_ASSIGN(const Shape sb, broadcast_strides(call, b.shape(), shape));
  VTL_ASSIGN(Tensor y, make_output(call, a.dtype(), shape));
  const T* pa = a.as<T>().data();
  const U* pb = b.as<U>().data();
  T* out = y.as_mutable<T>().data();
  walk<2>(shape, {sa, sb}, [&](int64_t i, const auto& at) { out[i] = f(pa[at[0]], pb[at[1]]); });
  return y;
}

template <class T>
T divide(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return static_cast<T>(static_cast<double>(a) / static_cast<double>(b));
  else if constexpr (std::is_signed_v<T>)
    return b == -1 ? T(uint64_t{0} - static_cast<uint64_t>(a)) : T(a / b);
  else
    return T(a / b);
}

// Mod with the sign of the divisor (fmod = 0) or of the dividend (fmod = 1).
template <class T>
T modulo(T a, T b, bool c_style) {
  if constexpr (std::is_floating_point_v<T>) {
    const T r = std::fmod(a, b);
    if (c_style) return r;
    if (r == 0) return std::copysign(T(0), b);
    return (r < 0) != (b < 0) ? r + b : r;
  } else {
    if constexpr (std::is_signed_v<T>)
      if (b == -1) return 0;  // also keeps the least number away from an overflow
    const T r = T(a % b);
    return !c_style && r != 0 && (r < 0) != (b < 0) ? T(r + b) : r;
  }
}

template <class T, class U>
T power(T base, U exponent) {
  if constexpr (std::is_integral_v<T> && std::is_integral_v<U>) {
    if (exponent >= 0) {
      uint64_t result = 1, factor = static_cast<uint64_t>(base);
      for (auto e = static_cast<uint64_t>(exponent); e; e >>= 1, factor *= factor)
        if (e & 1) result *= factor;
      return static_cast<T>(result);
    }
  }
  return convert<T>(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
}

// The exponent may be of another type than the base; it is read as int64 or double.
Result<Tensor> pow(const Call& call) {
  const Tensor &base = call.input(0), &exponent = call.input(1);
  const bool whole = exponent.dtype() != DType::kF32 && exponent.dtype() != DType::kF64;
  VTL_ASSIGN(const Tensor wide, with_number(call, exponent.dtype(), [&]<class U>() -> Result<Tensor> {
               Tensor t(whole ? DType::kI64 : DType::kF64, exponent.shape());
               const auto in = exponent.as<U>();
               for (size_t i = 0; i < in.size(); ++i)
                 if (whole)
                   t.as_mutable<int64_t>()[i] = convert<int64_t>(in[i]);
                 else
                   t.as_mutable<double>()[i] = static_cast<double>(in[i]);
               return t;
             }));
  return with_number(call, base.dtype(), [&]<class T>() {
    return whole ? map_pair<T, int64_t>(call, base, wide, power<T, int64_t>)
                 : map_pair<T, double>(call, base, wide, power<T, double>);
  });
}

template <class T>
bool has_zero(const Tensor& t) {
  for (T v : t.as<T>())
    if (v == 0) return true;
  return false;
}

template <class T>
Result<Tensor> apply(const Call& call, const Tensor& a, const Tensor& b) {
  using W = Wide<T>;
  auto pair = [&](auto f) { return map_pair<T, T>(call, a, b, f); };
  const Op op = call.node.op;
  if constexpr (std::is_integral_v<T>)
    if ((op == Op::Div || op == Op::Mod) && has_zero<T>(b)) return call.error("integer division by zero");
  switch (op) {
    case Op::Add:
      return pair([](T x, T y) { return static_cast<T>(W(x) + W(y)); });
    case Op::Sub:
      return pair([](T x, T y) { return static_cast<T>(W(x) - W(y)); });
    case Op::Mul:
      return pair([](T x, T y) { return static_cast<T>(W(x) * W(y)); });
    case Op::Div:
      return pair(divide<T>);
    // A NaN on either side is the answer.
    case Op::Max:
      return pair([](T x, T y) { return x != x || x > y ? x : y; });
    case Op::Min:
      return pair([](T x, T y) { return x != x || x < y ? x : y; });
    default: {
      const bool c_style = call.node.integer("fmod", 0) != 0;
      return pair([=](T x, T y) { return modulo<T>(x, y, c_style); });
    }
  }
}

}  // namespace

Result<Tensor> arithmetic(const Call& call) {
  const Tensor& first = call.input(0);
  if (call.node.op == Op::Pow) return pow(call);
  Tensor result = first;  // Max and Min fold any number of inputs; the others have two
  for (size_t i = 1; i < call.inputs.size(); ++i) {
    const Tensor* next = call.optional(i);
    if (!next || next->dtype() != first.dtype())
      return call.error("input {} is {}, but input 0 is {}", i, next ? dtype_name(next->dtype()) : "absent",
                        dtype_name(first.dtype()));
    VTL_ASSIGN(result,
               with_number(call, first.dtype(), [&]<class T>() { return apply<T>(call, result, *next); }));
  }
  return result;
}

}  // namespace vitrail::reference
