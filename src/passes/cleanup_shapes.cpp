// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "graph/edit.h"
#include "passes/cleanup.h"

namespace vitrail {
namespace {

bool is_reshaping(Op op) {
  return op == Op::Reshape || op == Op::Squeeze || op == Op::Unsqueeze || op == Op::Flatten;
}

// The attribute `shape` of a Reshape with one input; none where its -1 would be ambiguous.
std::optional<std::vector<int64_t>> target_of(const SymShape& shape) {
  std::vector<int64_t> target;
  for (Dim d : shape) {
    if (d == Dim{}) return std::nullopt;
    target.push_back(d.is_fixed() ? d.fixed : -1);
  }
  if (std::count(target.begin(), target.end(), -1) > 1) return std::nullopt;
  return target;
}

// A Resize whose sizes are computed from the batch names the axes that have fixed extents, and constant sizes
// for them.
bool resolve_sizes(Graph& graph, Node& node) {
  const auto &in = graph.value(node.inputs[0]).shape, &out = graph.value(node.outputs[0]).shape;
  if (node.input(1) != kNoValue || node.input(3) == kNoValue || graph.is_constant(node.inputs[3]) || !in ||
      !out)
    return false;
  std::vector<int64_t> axes, sizes;
  for (size_t i = 0; i < out->size(); ++i) {
    if ((*out)[i] == (*in)[i]) continue;
    if (!(*out)[i].is_fixed()) return false;
    axes.push_back(static_cast<int64_t>(i));
    sizes.push_back((*out)[i].fixed);
  }
  if (axes.empty()) return false;
  const auto count = std::ssize(sizes);
  node.inputs[3] = add_weight(graph, node.name + ".sizes", Tensor::i64({count}, sizes));
  node.attributes["axes"] = std::move(axes);
  return true;
}

// The batch as a vector of one element, read off a graph input, and operands made from it.
class BatchOperands {
 public:
  explicit BatchOperands(Graph& graph) : graph_(graph) {
    for (ValueId id : graph.inputs) {
      const auto& shape = graph.value(id).shape;
      if (!shape) continue;
      const auto axis = std::find(shape->begin(), shape->end(), Dim::batch());
      if (axis == shape->end()) continue;
      input_ = id;
      axis_ = axis - shape->begin();
      return;
    }
  }

  // A value with this content, kNoValue when it takes more than the batch and constants.
  ValueId make(const std::vector<Dim>& content) {
    const bool simple =
        std::all_of(content.begin(), content.end(), [](Dim d) { return d.is_fixed() || d == Dim::batch(); });
    if (input_ == kNoValue || !simple) return kNoValue;
    const auto [made, is_new] = made_.try_emplace(to_string(content), kNoValue);
    if (is_new) made->second = content.size() == 1 ? batch() : join(content);
    return made->second;
  }

  void insert() {
    std::vector<std::pair<size_t, Node>> placed;
    for (Node& node : nodes_) placed.emplace_back(0, std::move(node));
    insert_nodes(graph_, std::move(placed));
  }

 private:
  ValueId add(Node node, std::vector<Dim> content) {
    const ValueId id =
        add_intermediate(graph_, node.name, DType::kI64, SymShape{Dim::of(std::ssize(content))});
    graph_.value(id).integers = std::move(content);
    node.name = graph_.value(id).name;
    node.outputs = {id};
    nodes_.push_back(std::move(node));
    return id;
  }

  ValueId batch() {
    if (batch_ == kNoValue) {
      Node node{Op::Shape, "batch", {input_}, {}, {}, ""};
      node.attributes["start"] = axis_;
      node.attributes["end"] = axis_ + 1;
      batch_ = add(std::move(node), {Dim::batch()});
    }
    return batch_;
  }

  ValueId join(const std::vector<Dim>& content) {
    Node node{Op::Concat, "batch_shape", {}, {}, {}, ""};
    node.attributes["axis"] = int64_t{0};
    for (auto it = content.begin(); it != content.end();) {
      if (!it->is_fixed()) {
        node.inputs.push_back(batch());
        ++it;
        continue;
      }
      std::vector<int64_t> run;
      for (; it != content.end() && it->is_fixed(); ++it) run.push_back(it->fixed);
      const auto count = std::ssize(run);
      node.inputs.push_back(add_weight(graph_, "batch_shape.fixed", Tensor::i64({count}, run)));
    }
    return add(std::move(node), content);
  }

  Graph& graph_;
  ValueId input_ = kNoValue;
  int64_t axis_ = 0;
  ValueId batch_ = kNoValue;
  std::map<std::string, ValueId> made_;  // by content
  std::vector<Node> nodes_;
};

// Computes with the batch on the way to other integers, rather than being the last to read them.
bool is_shape_arithmetic(const Graph& graph, const Node& node) {
  return std::all_of(node.outputs.begin(), node.outputs.end(),
                     [&](ValueId id) { return id == kNoValue || graph.value(id).integers; });
}

}  // namespace

int resolve_shape_operands(Graph& graph) {
  int changes = 0;
  for (Node& node : graph.nodes) {
    if (node.op == Op::Resize) changes += resolve_sizes(graph, node);
    if (!is_reshaping(node.op) || (node.op == Op::Reshape && node.input(1) == kNoValue)) continue;
    const auto& shape = graph.value(node.outputs[0]).shape;
    const auto target = shape ? target_of(*shape) : std::nullopt;
    if (!target) continue;
    node.op = Op::Reshape;
    node.inputs.resize(1);
    node.attributes.clear();
    node.attributes["shape"] = *target;
    ++changes;
  }
  return changes;
}

int simplify_batch_operands(Graph& graph) {
  int changes = 0;
  const UseMap uses(graph);
  BatchOperands operands(graph);
  // The Shape of a graph input, and a Concat made of such and constants, are as simple as can be.
  auto is_batch = [&](ValueId id) {
    const int maker = uses.producer(id);
    if (maker < 0 || graph.nodes[static_cast<size_t>(maker)].op != Op::Shape) return false;
    return uses.producer(graph.nodes[static_cast<size_t>(maker)].inputs[0]) < 0;
  };
  auto is_simple = [&](ValueId id) {
    if (is_batch(id)) return true;
    const int maker = uses.producer(id);
    if (maker < 0 || graph.nodes[static_cast<size_t>(maker)].op != Op::Concat) return false;
    const auto& parts = graph.nodes[static_cast<size_t>(maker)].inputs;
    return std::all_of(parts.begin(), parts.end(),
                       [&](ValueId part) { return graph.is_constant(part) || is_batch(part); });
  };
  for (Node& node : graph.nodes) {
    if (is_shape_arithmetic(graph, node)) continue;
    for (ValueId& id : node.inputs) {
      if (id == kNoValue || graph.is_constant(id)) continue;
      const Value& v = graph.value(id);
      if (!v.integers || !v.shape || v.shape->size() != 1 || v.dtype != DType::kI64 || is_simple(id))
        continue;
      const ValueId made = operands.make(std::vector<Dim>(*v.integers));
      if (made == kNoValue) continue;
      id = made;
      ++changes;
    }
  }
  operands.insert();
  return changes;
}

}  // namespace vitrail
