// SPDX-License-Identifier: Apache-2.0
// Scalar functions that more than one operator uses, in double.
#pragma once

#include <cmath>
#include <numbers>
#include <string_view>

namespace vitrail::reference {

inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
inline double silu(double x) { return x * sigmoid(x); }
inline double relu(double x) { return x < 0 ? 0.0 : x; }  // keeps NaN
inline double gelu(double x) { return 0.5 * x * std::erfc(-x / std::numbers::sqrt2); }
inline double gelu_tanh(double x) {
  const double inner = std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x);
  return 0.5 * x * (1.0 + std::tanh(inner));
}
inline double gelu_quick(double x) { return x * sigmoid(1.702 * x); }

using ScalarFunction = double (*)(double);

// The `approximate` attribute of Gelu; null when the name is not known.
inline ScalarFunction gelu_function(std::string_view approximate) {
  if (approximate == "none") return gelu;
  if (approximate == "tanh") return gelu_tanh;
  if (approximate == "quick") return gelu_quick;
  return nullptr;
}

// The `activation` attribute of Linear; null when the name is not known.
inline ScalarFunction activation_function(std::string_view name) {
  if (name == "none") return [](double x) { return x; };
  if (name == "relu") return relu;
  if (name == "gelu") return gelu;
  if (name == "gelu_tanh") return gelu_tanh;
  if (name == "gelu_quick") return gelu_quick;
  if (name == "silu") return silu;
  if (name == "sigmoid") return sigmoid;
  if (name == "tanh") return [](double x) { return std::tanh(x); };
  return nullptr;
}

}  // namespace vitrail::reference
