// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace vitrail {

// A MatMul, Gemm or Conv of a quantized model.
struct ProductReport {
  std::string name, op;
  std::string activation, weights;  // "uint8 per tensor", "int8 per channel", "float32"
  bool integer = false;
  std::string reason;  // why it computes in floats; empty when it does not
};

struct QuantizationReport {
  std::vector<ProductReport> products;  // empty: the model is not quantized
  int64_t weight_bytes = 0;             // of the products' weights of 8 bits
  bool has_float8 = false;
};

// What an imported graph says, before anything in it is folded, and what keeps each product from being one of
// integers.
QuantizationReport describe_quantization(const Graph& imported);

// Which products the passes make integer ones of; `simplified` is the same model and stays as it is.
void find_integer_products(const Graph& simplified, QuantizationReport& report);

}  // namespace vitrail
