// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "passes/match.h"

namespace vitrail {

// A value seen as scale × a strided window of another value: what is left of a chain of Reshape, Transpose,
// Gather by one index, Split, Slice and multiplication by scalars. Strides and offset count elements.
struct StridedView {
  ValueId source = kNoValue;
  SymShape shape;
  std::vector<int64_t> strides;
  int64_t offset = 0;
  double scale = 1;
};

// Walks from `id` back to the farthest value of which it is a strided view (in the worst case itself).
// Whatever way an exporter splits q, k and v out of one projection, the result is the same few numbers. Unset
// shapes give no view.
std::optional<StridedView> trace_view(const Graph& graph, const Matcher& match, ValueId id);

}  // namespace vitrail
