// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "graph/graph.h"

namespace vitrail {

// A constant matrix behind a DequantizeLinear, restated as int8 with the zero point 0: value = scale ·
// number.
struct QuantizedWeight {
  Tensor numbers;  // int8, two axes
  Tensor scale;    // float32, [1] or along `axis`
  size_t axis = 1;
};

// What a DequantizeLinear of a constant int8 matrix with zero point 0, or of a uint8 one with zero point 128,
// reads; none when the node is something else. int8 numbers share their storage with the graph's constant.
std::optional<QuantizedWeight> quantized_weight(const Graph& graph, const Node& node);

Tensor dequantized(const QuantizedWeight& weight);

// Whether such a node must outlive the folding of constants: its numbers are the right side of products whose
// left side is dequantized as well, so that fuse_quantized() can multiply integers. Other weights become
// float32.
bool keeps_integers(const Graph& graph, const UseMap& uses, const Node& node);

// A Transpose that swaps the axes of a matrix.
bool swaps_axes(const Node& node);

}  // namespace vitrail
