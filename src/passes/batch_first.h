// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail {

// torch.nn.MultiheadAttention works on [tokens, batch, channels]. A Transpose that swaps the first two axes in front of a Linear
// moves behind it, and one behind a Linear moves before it, so that projections read and make [batch, tokens, channels] and the
// swaps meet those of the attention, which cleanup() merges. Returns how many Linears changed. Run after fuse_linear().
int batch_first(Graph& graph);

}  // namespace vitrail
