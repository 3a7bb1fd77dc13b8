// SPDX-License-Identifier: Apache-2.0
// From statistics to 8-bit weights and scales, and into the graph as Q/DQ pairs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "quant/calibration_table.h"
#include "quant/products.h"
#include "quant/range.h"
#include "quant/smooth.h"

namespace vitrail::quant {

// Everything that turns one product into an integer one.
struct PreparedProduct {
  ByteParams input;
  ByteParams right;                    // of two activations: the other one; then nothing of what follows
  Tensor weight;                       // int8, as the float weight is laid out
  Tensor scale;                        // float32 [N]: one for each output channel, zero point 0
  std::vector<float> bias_correction;  // [N], what to add to the bias; empty: nothing is known or there is no bias
};

// The range of a value that products read. With a probe and kMse: where the square error of those products is
// least (range.h), else by the histogram.
ByteParams prepare_input(const Graph& graph, const std::vector<const Product*>& readers, const ValueStats& stats,
                         const Probe& probe, const RangeRule& rule);

// Symmetric weights, the scale of each output channel that with the least square error, squares of the input
// taken into account. The correction takes the mean error of the output over the probe's rows away (Nagel et al.
// 2019, arXiv:1906.04721, by samples).
PreparedProduct prepare_product(const Graph& graph, const Product& product, const ByteParams& input,
                                const ValueStats& stats, const Probe& probe);

// A copy of the graph in which the products p with enabled[p] are surrounded by QuantizeLinear and
// DequantizeLinear as ONNX defines integer products: activation uint8, or int8 where symmetric (one pair for all readers of a value),
// weight int8 behind a DequantizeLinear along its output channels, bias float32.
Graph insert_quantization(const Graph& graph, const ProductList& list, const std::vector<PreparedProduct>& prepared,
                          const std::vector<bool>& enabled);

}  // namespace vitrail::quant
