// SPDX-License-Identifier: Apache-2.0
#include "graph/rows.h"

namespace vitrail {

std::optional<Dim> rows_of(const Graph& graph, ValueId id) {
  const SymShape& shape = *graph.value(id).shape;
  return element_count(SymShape(shape.begin(), shape.end() - (shape.empty() ? 0 : 1)));
}

std::optional<size_t> mean_axis(const Graph& graph, const Node& node) {
  const auto rank = static_cast<int64_t>(graph.value(node.input(0)).shape->size());
  if (node.input(1) == kNoValue || !graph.value(node.input(1)).integers) return std::nullopt;
  const auto& axes = *graph.value(node.input(1)).integers;
  if (axes.size() != 1 || !axes[0].is_fixed()) return std::nullopt;
  const int64_t axis = axes[0].fixed < 0 ? axes[0].fixed + rank : axes[0].fixed;
  return axis >= 0 && axis < rank ? std::optional(static_cast<size_t>(axis)) : std::nullopt;
}

}  // namespace vitrail
