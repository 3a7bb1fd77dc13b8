// SPDX-License-Identifier: Apache-2.0
// Element-wise operators of one input.
#include <algorithm>

#include "backends/reference/functions.h"
#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {
namespace {

template <class T, class F>
Result<Tensor> map(const Call& call, const F& f) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), x.shape()));
  const auto in = x.as<T>();
  const auto out = y.as_mutable<T>();
  for (size_t i = 0; i < in.size(); ++i) out[i] = static_cast<T>(f(in[i]));
  return y;
}

// Abs, Neg, Relu and Sign know integers too.
template <class T>
Result<Tensor> sign_family(const Call& call) {
  switch (call.node.op) {
    case Op::Abs:
      return map<T>(call, [](T x) {
        if constexpr (std::is_floating_point_v<T>)
          return std::abs(x);
        else
          return x < 0 ? T(uint64_t{0} - static_cast<uint64_t>(x)) : x;
      });
    case Op::Neg:
      return map<T>(call, [](T x) {
        if constexpr (std::is_floating_point_v<T>)
          return -x;
        else
          return T(uint64_t{0} - static_cast<uint64_t>(x));
      });
    case Op::Relu:
      return map<T>(call, [](T x) { return x < 0 ? T(0) : x; });
    default:  // Sign
      return map<T>(call, [](T x) { return x != x ? x : T((x > 0) - (x < 0)); });
  }
}

Result<Tensor> map_float(const Call& call, auto f) {
  return with_float(call, call.input(0).dtype(),
                    [&]<class T>() { return map<T>(call, [&](T x) { return f(static_cast<double>(x)); }); });
}

}  // namespace

Result<Tensor> unary(const Call& call) {
  switch (call.node.op) {
    case Op::Ceil:
      return map_float(call, [](double x) { return std::ceil(x); });
    case Op::Cos:
      return map_float(call, [](double x) { return std::cos(x); });
    case Op::Erf:
      return map_float(call, [](double x) { return std::erf(x); });
    case Op::Exp:
      return map_float(call, [](double x) { return std::exp(x); });
    case Op::Floor:
      return map_float(call, [](double x) { return std::floor(x); });
    case Op::Log:
      return map_float(call, [](double x) { return std::log(x); });
    case Op::Reciprocal:
      return map_float(call, [](double x) { return 1.0 / x; });
    case Op::Round:
      return map_float(call, [](double x) { return std::nearbyint(x); });  // ties to even
    case Op::Sigmoid:
      return map_float(call, sigmoid);
    case Op::Sin:
      return map_float(call, [](double x) { return std::sin(x); });
    case Op::Softplus:
      return map_float(call, [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); });
    case Op::Sqrt:
      return map_float(call, [](double x) { return std::sqrt(x); });
    case Op::Tanh:
      return map_float(call, [](double x) { return std::tanh(x); });
    case Op::LeakyRelu: {
      const double alpha = static_cast<double>(call.node.real("alpha", 0.01f));
      return map_float(call, [=](double x) { return x < 0 ? alpha * x : x; });
    }
    case Op::HardSigmoid: {
      const double alpha = static_cast<double>(call.node.real("alpha", 0.2f));
      const double beta = static_cast<double>(call.node.real("beta", 0.5f));
      return map_float(call, [=](double x) { return std::clamp(alpha * x + beta, 0.0, 1.0); });
    }
    case Op::HardSwish:
      return map_float(call, [](double x) { return x * std::clamp(x / 6.0 + 0.5, 0.0, 1.0); });
    case Op::Gelu: {
      const std::string approximate = call.node.text("approximate", "none");
      const ScalarFunction f = gelu_function(approximate);
      if (!f) return call.error("approximate = '{}' is not none, tanh or quick", approximate);
      return map_float(call, f);
    }
    default:
      return with_number(call, call.input(0).dtype(), [&]<class T>() { return sign_family<T>(call); });
  }
}

Result<Tensor> logical_not(const Call& call) {
  if (call.input(0).dtype() != DType::kBool)
    return call.error("needs bool, got {}", dtype_name(call.input(0).dtype()));
  return map<uint8_t>(call, [](uint8_t x) { return x == 0; });
}

Result<Tensor> clip(const Call& call) {
  const Tensor& x = call.input(0);
  for (size_t i : {size_t{1}, size_t{2}}) {
    const Tensor* bound = call.optional(i);
    if (bound && (bound->dtype() != x.dtype() || bound->count() != 1))
      return call.error("bound {} must be one {}, got {} {}", i, dtype_name(x.dtype()),
                        dtype_name(bound->dtype()), to_string(bound->shape()));
  }
  return with_number(call, x.dtype(), [&]<class T>() {
    const Tensor *low = call.optional(1), *high = call.optional(2);
    return map<T>(call, [&](T v) {
      if (low && v < low->as<T>()[0]) v = low->as<T>()[0];
      if (high && v > high->as<T>()[0]) v = high->as<T>()[0];
      return v;
    });
  });
}

}  // namespace vitrail::reference
