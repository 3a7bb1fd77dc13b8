// SPDX-License-Identifier: Apache-2.0
// Transpose, Slice, Split, Concat, Expand and Gather by one index are all copies between strided windows; operands that are
// broadcast are windows whose elements repeat.
#pragma once

#include <array>
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

// How far `from` moves along each axis of `to`, to which it broadcasts: 0 where it repeats. Nothing when a stride is not affine
// in the batch.
std::optional<std::vector<Dim>> broadcast_strides(const SymShape& from, const SymShape& to);

// A walk through two windows at one batch size: unit axes dropped, neighbours that move together merged. At least one axis.
inline constexpr size_t kMaxAxes = 8;
struct Loop {
  struct Axis {
    int64_t extent, from, to;
  };
  std::array<Axis, kMaxAxes> axes;
  size_t rank = 0;

  Loop(const SymShape& extents, const std::vector<Dim>& from_strides, const std::vector<Dim>& to_strides, int64_t batch);
};

}  // namespace vitrail::cpu
