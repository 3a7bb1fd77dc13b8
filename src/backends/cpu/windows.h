// SPDX-License-Identifier: Apache-2.0
// Transpose, Slice, Split, Concat, Expand and Gather by one index are all copies between strided windows.
#pragma once

#include <optional>
#include <vector>

#include "graph/graph.h"

namespace vitrail::cpu {

// One window: extents, and for each axis how far source and destination move, in elements.
struct Window {
  ValueId from = kNoValue, to = kNoValue;
  SymShape extents;
  std::vector<Dim> from_strides, to_strides;
  Dim from_offset, to_offset;
};

// The copies that make up the node; nothing when its bounds are not constant.
std::optional<std::vector<Window>> windows_of(const Graph& graph, const Node& node);

}  // namespace vitrail::cpu
