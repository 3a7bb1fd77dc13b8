// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail {

// softmax(scale·q·kᵀ [+ mask])·v with its head splitting and merging (Vaswani et al. 2017) becomes one
// MultiHeadAttention that reads q, k and v where the projection left them: q_offset, k_offset, v_offset are
// columns of sources [B, S, C]. Returns how many were fused.
int fuse_attention(Graph& graph);

// Three projections of the same input that feed one MultiHeadAttention become one wide Linear. Returns how
// many.
int merge_qkv(Graph& graph);

}  // namespace vitrail
