// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace vitrail {

// A part of a transformer that stays as single operators.
struct Unfused {
  std::string part;    // "attention", "normalisation", "GELU"
  std::string name;    // of the operator that gives it away
  std::string reason;  // why no fused layer took its place
};

// What of a graph that fuse() has seen looks like such a part.
std::vector<Unfused> find_unfused(Graph& graph);

}  // namespace vitrail
