// SPDX-License-Identifier: Apache-2.0
// Values of known shape as kernels see them.
#pragma once

#include "graph/graph.h"

namespace vitrail {

// Extent `axis` (negative counts from the end).
inline Dim extent(const Graph& graph, ValueId id, int axis) {
  const SymShape& s = *graph.value(id).shape;
  return s[static_cast<size_t>(axis < 0 ? axis + static_cast<int>(s.size()) : axis)];
}

// Product of all extents but the last: the rows of a value seen as a matrix. Nothing when not affine in the
// batch.
std::optional<Dim> rows_of(const Graph& graph, ValueId id);

// The one axis of a ReduceMean, when it is known.
std::optional<size_t> mean_axis(const Graph& graph, const Node& node);

}  // namespace vitrail
