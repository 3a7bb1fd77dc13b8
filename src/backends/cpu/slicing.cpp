// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/slicing.h"

#include <algorithm>

#include "backends/cpu/step.h"
#include "graph/cost.h"

namespace vitrail::cpu {
namespace {

// The largest activation of a slice: about what one core's L2 and its share of L3 hold beside the weights in
// use.
constexpr int64_t kSliceBytes = 2 << 20;

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
    case Op::Split:
    case Op::Gather:
      return !is_first(node.integer("axis", 0), rank);
    case Op::Softmax:
      return !is_first(node.integer("axis", -1), rank);
    case Op::Slice:
      return !names_first(graph, node.input(3), rank);
    case Op::ReduceMean:
      return !names_first(graph, node.input(1), rank);
    case Op::Transpose:
      return !node.integers("perm").empty() && node.integers("perm")[0] == 0;
    case Op::LayerNormalization:
    case Op::MatMul:
      return rank >= 2;
    default:
      return true;  // element by element, image by image or row by row
  }
}

}  // namespace

int64_t images_per_slice(const Graph& graph) {
  int64_t largest = 1;
  for (const auto* ends : {&graph.inputs, &graph.outputs})
    for (ValueId id : *ends)
      if (graph.is_constant(id) || !is_batch_major(graph, id)) return INT64_MAX;
  for (const Node& node : graph.nodes) {
    if (node.text("kernel", "") == kReferenceKernel || !keeps_rows_apart(graph, node)) return INT64_MAX;
    for (ValueId id : node.inputs)
      if (id != kNoValue && !graph.is_constant(id) && !is_batch_major(graph, id)) return INT64_MAX;
    for (ValueId id : node.outputs)
      if (id != kNoValue && !is_batch_major(graph, id)) return INT64_MAX;
    largest = std::max(largest, activation_bytes(graph, node, 1));
  }
  return std::max<int64_t>(1, kSliceBytes / largest);
}

}  // namespace vitrail::cpu
