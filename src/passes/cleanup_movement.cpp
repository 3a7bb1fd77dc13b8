// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "graph/edit.h"
#include "passes/cleanup.h"

namespace vitrail {
namespace {

bool same_shape(const Graph& graph, const Node& node) {
  const auto& in = graph.value(node.inputs[0]).shape;
  return in && in == graph.value(node.outputs[0]).shape;
}

bool same_dtype(const Graph& graph, const Node& node) {
  const DType in = graph.value(node.inputs[0]).dtype;
  return in != DType::kUndefined && in == graph.value(node.outputs[0]).dtype;
}

// Whether operand i is absent or constant with int64 values that all satisfy `test`.
template <class Test>
bool all_of_operand(const Graph& graph, const Node& node, size_t i, Test test) {
  if (node.input(i) == kNoValue) return true;
  if (!graph.is_constant(node.inputs[i]) || graph.constant(node.inputs[i]).dtype() != DType::kI64)
    return false;
  const auto values = graph.constant(node.inputs[i]).as<int64_t>();
  return std::all_of(values.begin(), values.end(), test);
}

std::vector<int64_t> perm_of(const Node& node, size_t rank) {
  auto perm = node.integers("perm");
  if (perm.empty()) {
    perm.resize(rank);
    std::iota(perm.rbegin(), perm.rend(), 0);
  }
  for (int64_t& a : perm)
    if (a < 0) a += static_cast<int64_t>(rank);
  return perm;
}

// A permutation that keeps the order of all axes longer than 1 moves no element.
bool moves_nothing(const Graph& graph, const Node& node) {
  const auto& in = graph.value(node.inputs[0]).shape;
  if (!in || !same_shape(graph, node)) return false;
  int64_t last = -1;
  for (int64_t axis : perm_of(node, in->size())) {
    if ((*in)[static_cast<size_t>(axis)] == Dim::of(1)) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

bool is_no_op(const Graph& graph, const UseMap& uses, const Node& node) {
  switch (node.op) {
    case Op::Identity:
      return true;
    case Op::Dropout:
      return node.outputs.size() < 2 || node.outputs[1] == kNoValue ||
             (uses.consumers(node.outputs[1]).empty() && !uses.is_output(node.outputs[1]));
    case Op::Cast:
    case Op::CastLike:
      return same_dtype(graph, node);
    case Op::Concat:
    case Op::Max:
    case Op::Min:
      return node.inputs.size() == 1;
    case Op::Split:
      return node.outputs.size() == 1;
    case Op::Expand:
    case Op::Flatten:
    case Op::Reshape:
    case Op::Squeeze:
    case Op::Tile:
    case Op::Unsqueeze:
      return same_shape(graph, node);
    case Op::Slice:
      return same_shape(graph, node) && all_of_operand(graph, node, 4, [](int64_t step) { return step > 0; });
    case Op::Pad:
      return all_of_operand(graph, node, 1, [](int64_t pad) { return pad == 0; });
    case Op::Transpose:
      return moves_nothing(graph, node);
    default:
      return false;
  }
}

// The node that makes a node's first input, when it is of the same kind.
const Node* same_kind_before(const Graph& graph, const UseMap& uses, const Node& node) {
  const int maker = uses.producer(node.inputs[0]);
  if (maker < 0 || graph.nodes[static_cast<size_t>(maker)].op != node.op) return nullptr;
  return &graph.nodes[static_cast<size_t>(maker)];
}

}  // namespace

int remove_no_ops(Graph& graph) {
  const UseMap uses(graph);
  std::vector<bool> dead(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (!is_no_op(graph, uses, node)) continue;
    // A graph output that would be a graph input or another output keeps its node.
    dead[i] = replace_uses(graph, node.outputs[0], node.inputs[0]);
  }
  remove_nodes(graph, dead);
  return static_cast<int>(std::count(dead.begin(), dead.end(), true));
}

int merge_movement(Graph& graph) {
  const UseMap uses(graph);
  int changes = 0;
  for (Node& node : graph.nodes) {
    if (node.op != Op::Transpose && node.op != Op::Reshape) continue;
    if (node.op == Op::Reshape && !node.has("shape")) continue;
    const Node* first = same_kind_before(graph, uses, node);
    if (!first) continue;
    if (node.op == Op::Transpose) {
      const auto& shape = graph.value(node.inputs[0]).shape;
      if (!shape) continue;
      const auto inner = perm_of(*first, shape->size());
      auto perm = perm_of(node, shape->size());
      for (int64_t& axis : perm) axis = inner[static_cast<size_t>(axis)];
      node.attributes["perm"] = std::move(perm);
    }
    node.inputs[0] = first->inputs[0];
    ++changes;
  }
  remove_dead_nodes(graph);
  return changes;
}

}  // namespace vitrail
