// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail::reference {

// Bytes that the kernel of a node takes beside its inputs and outputs for a batch of N images. An upper
// bound; 0 when the shapes are not known.
int64_t scratch_bytes(const Graph& graph, const Node& node, int64_t batch, int threads);

}  // namespace vitrail::reference
