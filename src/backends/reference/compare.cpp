// SPDX-License-Identifier: Apache-2.0
// Element-wise operators with a boolean answer, and Where.
#include <cstring>

#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {
namespace {

template <class T, class F>
Result<Tensor> map_bool(const Call& call, const F& f) {
  const Tensor &a = call.input(0), &b = call.input(1);
  VTL_ASSIGN(const Shape shape, broadcast_shapes(call, a.shape(), b.shape()));
  VTL_ASSIGN(const Shape sa, broadcast_strides(call, a.shape(), shape));
  VTL_ASSIGN(const Shape sb, broadcast_strides(call, b.shape(), shape));
  VTL_ASSIGN(Tensor y, make_output(call, DType::kBool, shape));
  const T *pa = a.as<T>().data(), *pb = b.as<T>().data();
  uint8_t* out = y.as_mutable<uint8_t>().data();
  walk<2>(shape, {sa, sb}, [&](int64_t i, const auto& at) { out[i] = f(pa[at[0]], pb[at[1]]); });
  return y;
}

}  // namespace

Result<Tensor> compare(const Call& call) {
  const DType a = call.input(0).dtype(), b = call.input(1).dtype();
  if (a != b) return call.error("types {} and {} differ", dtype_name(a), dtype_name(b));
  const Op op = call.node.op;
  if (a == DType::kBool) {
    if (op == Op::And) return map_bool<uint8_t>(call, [](uint8_t x, uint8_t y) { return x && y; });
    if (op == Op::Or) return map_bool<uint8_t>(call, [](uint8_t x, uint8_t y) { return x || y; });
    if (op == Op::Equal) return map_bool<uint8_t>(call, [](uint8_t x, uint8_t y) { return !x == !y; });
    return call.error("booleans have no order");
  }
  if (op == Op::And || op == Op::Or) return call.error("needs bool, got {}", dtype_name(a));
  return with_number(call, a, [&]<class T>() {
    switch (op) {
      case Op::Equal:
        return map_bool<T>(call, [](T x, T y) { return x == y; });
      case Op::Greater:
        return map_bool<T>(call, [](T x, T y) { return x > y; });
      case Op::GreaterOrEqual:
        return map_bool<T>(call, [](T x, T y) { return x >= y; });
      case Op::Less:
        return map_bool<T>(call, [](T x, T y) { return x < y; });
      default:
        return map_bool<T>(call, [](T x, T y) { return x <= y; });
    }
  });
}

// Where
Result<Tensor> select(const Call& call) {
  const Tensor &condition = call.input(0), &a = call.input(1), &b = call.input(2);
  if (condition.dtype() != DType::kBool)
    return call.error("condition is {}, not bool", dtype_name(condition.dtype()));
  if (a.dtype() != b.dtype())
    return call.error("types {} and {} differ", dtype_name(a.dtype()), dtype_name(b.dtype()));
  VTL_ASSIGN(const Shape values, broadcast_shapes(call, a.shape(), b.shape()));
  VTL_ASSIGN(const Shape shape, broadcast_shapes(call, condition.shape(), values));
  VTL_ASSIGN(const Shape sc, broadcast_strides(call, condition.shape(), shape));
  VTL_ASSIGN(const Shape sa, broadcast_strides(call, a.shape(), shape));
  VTL_ASSIGN(const Shape sb, broadcast_strides(call, b.shape(), shape));
  VTL_ASSIGN(Tensor y, make_output(call, a.dtype(), shape));
  const uint8_t* test = condition.as<uint8_t>().data();
  const char *pa = static_cast<const char*>(a.data()), *pb = static_cast<const char*>(b.data());
  char* out = static_cast<char*>(y.mutable_data());
  const auto bytes = static_cast<int64_t>(dtype_size(a.dtype()));
  walk<3>(shape, {sc, sa, sb}, [&](int64_t i, const auto& at) {
    const char* from = test[at[0]] ? pa + at[1] * bytes : pb + at[2] * bytes;
    std::memcpy(out + i * bytes, from, static_cast<size_t>(bytes));
  });
  return y;
}

}  // namespace vitrail::reference
