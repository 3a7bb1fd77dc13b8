// SPDX-License-Identifier: Apache-2.0
#include "passes/batch_first.h"

#include <utility>

#include "graph/edit.h"
#include "graph/linear_inputs.h"
#include "passes/match.h"

namespace vitrail {
namespace {

const std::vector<int64_t> kSwap{1, 0, 2};

bool swaps(const Node* node) { return node && node->op == Op::Transpose && node->integers("perm") == kSwap; }

// A Linear whose rows do not care for their order.
bool is_plain(const Node* node) { return node && node->op == Op::Linear && residual_of(*node) == kNoValue; }

const SymShape* shape_of(const Graph& graph, ValueId id) {
  const auto& shape = graph.value(id).shape;
  return shape && shape->size() >= 3 ? &*shape : nullptr;
}

class BatchFirst {
 public:
  explicit BatchFirst(Graph& graph) : graph_(graph), match_(graph) {}

  int run() {
    for (size_t i = 0, count = graph_.nodes.size(); i < count; ++i)
      changed_ += move_behind(i) || move_before(i);
    insert_nodes(graph_, std::move(added_));
    return changed_;
  }

 private:
  // Linear(swap(x)) to swap(Linear(x)).
  bool move_behind(size_t index) {
    Node& linear = graph_.nodes[index];
    if (!is_plain(&linear) || linear.outputs.size() != 1) return false;
    const Node* swap = match_.producer(linear.input(0));
    const SymShape* shape = swaps(swap) ? shape_of(graph_, swap->input(0)) : nullptr;
    if (!shape || shape->size() != 3) return false;
    const SymShape made{(*shape)[0], (*shape)[1], graph_.value(linear.outputs[0]).shape->back()};
    Node behind{Op::Transpose, linear.name + ".swap", {}, {linear.outputs[0]}, {{"perm", kSwap}}, ""};
    linear.inputs[0] = swap->input(0);
    linear.outputs[0] = add_intermediate(graph_, linear.name + ".batch_first", DType::kF32, made);
    behind.inputs = {linear.outputs[0]};
    added_.emplace_back(index + 1, std::move(behind));
    return true;
  }

  // swap(Reshape(Linear(Reshape(x)))), where x and the second Reshape's result have the same first two axes, to
  // Linear(Reshape(swap(x))). Without the Reshapes it is the same.
  bool move_before(size_t index) {
    if (!swaps(&graph_.nodes[index])) return false;
    const ValueId swapped = graph_.nodes[index].outputs[0];
    const Node* apart = single_reader_before(graph_.nodes[index].input(0), Op::Reshape);
    const ValueId made = apart ? apart->input(0) : graph_.nodes[index].input(0);
    const Node* linear = match_.producer(made, Op::Linear);
    // One whose swap in front has just moved behind it makes another value now.
    if (!is_plain(linear) || linear->outputs != std::vector{made} || !match_.single_use(made)) return false;
    const Node* together = apart ? single_reader_before(linear->input(0), Op::Reshape) : nullptr;
    const ValueId x = together ? together->input(0) : linear->input(0);
    const SymShape *from = shape_of(graph_, x), *to = shape_of(graph_, swapped);
    if (bool(apart) != bool(together) || !from || !to || (*from)[0] != (*to)[1] || (*from)[1] != (*to)[0]) return false;
    const auto width = element_count(SymShape(from->begin() + 2, from->end()));
    if (!width || !width->is_fixed() || graph_.value(linear->input(1)).shape->front() != *width) return false;

    SymShape turned = *from, rows{(*from)[1], (*from)[0], *width};
    std::swap(turned[0], turned[1]);
    std::vector<int64_t> perm{1, 0}, extents;
    for (size_t axis = 2; axis < turned.size(); ++axis) perm.push_back(static_cast<int64_t>(axis));
    for (Dim d : rows) extents.push_back(d.is_fixed() ? d.fixed : -1);
    Node swap{Op::Transpose, linear->name + ".swap", {x}, {}, {{"perm", perm}}, ""};
    Node merged{Op::Reshape, linear->name + ".rows", {}, {}, {{"shape", extents}}, ""};
    Node moved = *linear;
    swap.outputs = {add_intermediate(graph_, swap.name, DType::kF32, turned)};
    merged.inputs = swap.outputs;
    merged.outputs = {add_intermediate(graph_, merged.name, DType::kF32, rows)};
    moved.inputs[0] = merged.outputs[0];
    moved.outputs = {swapped};
    added_.emplace_back(index, std::move(swap));
    added_.emplace_back(index, std::move(merged));
    graph_.nodes[index] = std::move(moved);
    return true;
  }

  // The node of this kind that makes a value which nobody else reads.
  const Node* single_reader_before(ValueId id, Op op) const { return match_.single_use(id) ? match_.producer(id, op) : nullptr; }

  Graph& graph_;
  Matcher match_;
  std::vector<std::pair<size_t, Node>> added_;
  int changed_ = 0;
};

}  // namespace

int batch_first(Graph& graph) { return BatchFirst(graph).run(); }

}  // namespace vitrail
