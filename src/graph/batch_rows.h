// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail {

// Whether a batch may be run in parts, or padded: the first axis of every input, output and value between
// counts images (times a constant), and no node looks across it.
bool rows_are_independent(const Graph& graph);

}  // namespace vitrail
