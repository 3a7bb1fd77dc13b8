// SPDX-License-Identifier: Apache-2.0
#include "graph/batch_rows.h"

#include <algorithm>

namespace vitrail {
namespace {

// Rows of the batch lie one after the other: axis 0 counts images (times a constant), no other axis depends
// on them.
bool is_batch_major(const Graph& graph, ValueId id) {
  const auto& shape = graph.value(id).shape;
  if (!shape || shape->empty() || (*shape)[0].per_batch == 0 || (*shape)[0].fixed != 0) return false;
  return std::all_of(shape->begin() + 1, shape->end(), [](Dim d) { return d.is_fixed(); });
}

bool is_first(int64_t axis, size_t rank) { return axis == 0 || axis == -static_cast<int64_t>(rank); }

// Whether any of the axes in an operand is the first; true as well when they are not known.
bool names_first(const Graph& graph, ValueId axes, size_t rank) {
  if (axes == kNoValue || !graph.value(axes).integers) return true;
  return std::any_of(graph.value(axes).integers->begin(), graph.value(axes).integers->end(),
                     [&](Dim d) { return !d.is_fixed() || is_first(d.fixed, rank); });
}

bool keeps_rows_apart(const Graph& graph, const Node& node) {
  const size_t rank = graph.value(node.input(0)).shape->size();
  switch (node.op) {
    case Op::Concat:
      return !is_first(node.integer("axis", 0), graph.value(node.outputs[0]).shape->size());
    case Op::ArgMax:
    case Op::GatherElements:
    case Op::Gather:
    case Op::Split:
      return !is_first(node.integer("axis", 0), rank);
    case Op::ScatterElements:
    case Op::ScatterND:
    case Op::GatherND:
      return false;  // indices may lead anywhere
    case Op::LogSoftmax:
    case Op::Softmax:
    case Op::TopK:
      return !is_first(node.integer("axis", -1), rank);
    case Op::Slice:
      return !names_first(graph, node.input(3), rank);
    case Op::ReduceL2:
    case Op::ReduceMax:
    case Op::ReduceMean:
    case Op::ReduceMin:
    case Op::ReduceProd:
    case Op::ReduceSum:
    case Op::ReduceSumSquare:
      return !names_first(graph, node.input(1), rank);
    case Op::Transpose:
      return !node.integers("perm").empty() && node.integers("perm")[0] == 0;
    case Op::LayerNormalization:
    case Op::MatMul:
      return rank >= 2;
    case Op::Trilu:
      return rank >= 3;
    default:
      return true;  // element by element, image by image or row by row
  }
}

}  // namespace

bool rows_are_independent(const Graph& graph) {
  const auto good = [&](ValueId id) {
    return id == kNoValue || graph.is_constant(id) || is_batch_major(graph, id);
  };
  for (const auto* ends : {&graph.inputs, &graph.outputs})
    for (ValueId id : *ends)
      if (graph.is_constant(id) || !is_batch_major(graph, id)) return false;
  return std::all_of(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) {
    return keeps_rows_apart(graph, node) && std::all_of(node.inputs.begin(), node.inputs.end(), good) &&
           std::all_of(node.outputs.begin(), node.outputs.end(), good);
  });
}

}  // namespace vitrail
