// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail {

// Inference-time batch normalisation right after a Conv or ConvTranspose moves into its weights and bias:
// s = scale/√(var + ε), W' = W·s, b' = (b − mean)·s + bias. Returns how many were folded.
int fold_batch_norm(Graph& graph);

}  // namespace vitrail
