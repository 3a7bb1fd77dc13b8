// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail {

// Linear: y = activation(x·W + b) + residual, x [..., K], W [K, N], b [N], residual [..., N].

// MatMul by a constant matrix and Gemm of a constant matrix become Linear; a constant row added right after
// it becomes its bias. Returns how many were made.
int fuse_linear(Graph& graph);

// A constant row added right after a Linear or QuantizedLinear (`op` says which) that has no bias becomes its
// bias. Returns how many did.
int fuse_bias(Graph& graph, Op op);

// A Linear or QuantizedLinear scaled by a constant row (layer scale, Touvron et al. 2021; attention scale)
// takes the scale into its weights (or their scales) and bias: γ·(x·W + b) = x·(W·diag γ) + γ·b. Returns how
// many were folded.
int fold_layer_scale(Graph& graph);

// GELU, ReLU, sigmoid or tanh right after a Linear or QuantizedLinear, and then the residual addition, move
// into its epilogue. Returns how many moved.
int fuse_epilogues(Graph& graph);

}  // namespace vitrail
