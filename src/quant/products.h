// SPDX-License-Identifier: Apache-2.0
// The products of a model that can be computed with 8-bit integers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace vitrail::quant {

// A product with a constant weight.
struct Product {
  size_t node = 0;  // MatMul, Gemm or Conv
  std::string name;
  ValueId input = kNoValue, weight = kNoValue;
  int64_t depth = 0, width = 0;       // terms of a sum, and output channels
  bool width_first = false;           // weight is [N, K…] rather than [K, N]
  std::optional<size_t> bias_node;    // that adds the bias: `node` itself or an Add; none: there is none
  int64_t multiply_adds = 0;          // for one image
};

// One that stays as it is, and why.
struct Unquantized {
  std::string name, op, reason;
  int64_t multiply_adds = 0;
};

struct ProductList {
  std::vector<Product> products;       // in the order of the graph
  std::vector<Unquantized> unquantized;
};

// MatMul and Gemm of an activation by a constant matrix, and Conv that cuts an image into patches (kernel equals
// stride, no padding, one group). `graph` is simplified (passes/pipeline.h), its shapes known. Products of two
// activations and other convolutions are in `unquantized`.
ProductList find_products(const Graph& graph);

// The weight as the matrix [K][N] of a product; a copy.
std::vector<float> weight_matrix(const Graph& graph, const Product& product);

}  // namespace vitrail::quant
