// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail {

// ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div [, Mul, Add] over the last axis, as exporters below opset
// 17 write layer normalisation (Ba et al. 2016), becomes one LayerNormalization. Returns how many were fused.
int fuse_layer_norm(Graph& graph);

}  // namespace vitrail
