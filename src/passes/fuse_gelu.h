// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail {

// The decomposed forms of GELU (Hendrycks & Gimpel 2016) become one Gelu node:
//   x/2 · (1 + erf(x/√2))                          approximate = "none"
//   x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³)))     approximate = "tanh"
//   x · sigmoid(1.702·x)                           approximate = "quick" (CLIP)
// whatever the order of the products. Returns how many were fused.
int fuse_gelu(Graph& graph);

}  // namespace vitrail
