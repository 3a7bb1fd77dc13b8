// SPDX-License-Identifier: Apache-2.0
// Migration of scale from activations to weights (SmoothQuant, Xiao et al. 2023, arXiv:2211.10438).
#pragma once

#include <vector>

#include "quant/calibration_table.h"
#include "quant/products.h"

namespace vitrail::quant {

// Rows of a value that calibration kept, [R][channels].
struct Probe {
  size_t channels = 0;
  std::vector<float> rows;
};

// A LayerNormalization whose output only products read: its channels may be scaled, and the products' weights
// inversely, without any change of what the model computes.
struct SmoothPair {
  size_t norm = 0;               // node
  ValueId value = kNoValue;      // between the two
  std::vector<size_t> products;  // indices into ProductList::products
};
std::vector<SmoothPair> find_smooth_pairs(const Graph& graph, const ProductList& list);

// Divides channel k of the norm's output by s[k] = max|x[k]|^a / max|W[k]|^(1-a), with the `a` out of 0 (no
// change), 0.2, 0.3, … 0.9 for which the expected square error of the products is least: of rounding x (one step
// for all channels) times the weights' square norm, plus of rounding the weights (one step a column) times the
// square of x. Changes the graph's constants, and statistics and probe with them. Returns `a`.
double smooth(Graph& graph, const SmoothPair& pair, const ProductList& list, ValueStats& stats, Probe& probe);

// Mean square of each channel over the rows of a probe; from the ends of its range (as if uniform) without rows.
std::vector<float> mean_squares(const Probe& probe, const ValueStats& stats);

}  // namespace vitrail::quant
