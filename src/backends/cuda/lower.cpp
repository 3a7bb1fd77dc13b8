// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/compile.h"
#include "graph/edit.h"
#include "graph/linear_inputs.h"

namespace vitrail::cuda {
namespace {

// x · sigmoid(factor · x); 0 for any other activation.
float gate_factor(std::string_view activation) {
  if (activation == "gelu_quick") return 1.702f;
  return activation == "silu" ? 1.0f : 0.0f;
}

class Lowering {
 public:
  explicit Lowering(Graph& graph) : graph_(graph) {}

  void run() {
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      if (is_linear(node) && gate_factor(node.text("activation", "")) > 0) split_linear(i);
      if (node.op == Op::Gelu && node.text("approximate", "") == "quick") split_gelu(i);
    }
    insert_nodes(graph_, std::move(added_));
  }

 private:
  // The node makes its plain product; activation and residual follow.
  void split_linear(size_t i) {
    const float factor = gate_factor(graph_.nodes[i].text("activation", ""));
    Node& node = graph_.nodes[i];
    const ValueId y = node.outputs[0], residual = residual_of(node);
    node.attributes.erase("activation");
    if (residual != kNoValue) node.inputs.resize(residual_input(node));
    const ValueId product = fresh(y);
    graph_.nodes[i].outputs[0] = product;
    const ValueId activated = residual == kNoValue ? y : fresh(y);
    gate(i, product, activated, factor);
    if (residual != kNoValue) add(i, Op::Add, {activated, residual}, y);
  }

  void split_gelu(size_t i) {
    const Node node = graph_.nodes[i];
    gate(i, node.input(0), node.outputs[0], 1.702f);
    graph_.nodes[i].outputs[0] = fresh(node.outputs[0]);  // nothing reads it: swept by lower_activations
  }

  void gate(size_t i, ValueId x, ValueId y, float factor) {
    ValueId scaled = x;
    if (factor != 1.0f) {
      scaled = fresh(y);
      const ValueId constant = add_weight(graph_, "gate_factor", Tensor::f32({}, {factor}));
      add(i, Op::Mul, {x, constant}, scaled);
    }
    const ValueId gate = fresh(y);
    add(i, Op::Sigmoid, {scaled}, gate);
    add(i, Op::Mul, {x, gate}, y);
  }

  ValueId fresh(ValueId like) {
    const Value copy = graph_.value(like);
    return add_intermediate(graph_, copy.name + ".part", copy.dtype, copy.shape);
  }

  void add(size_t after, Op op, std::vector<ValueId> inputs, ValueId output) {
    Node node;
    node.op = op;
    node.name = graph_.nodes[after].name + "." + std::string(op_name(op)) + std::to_string(added_.size());
    node.stage = graph_.nodes[after].stage;
    node.inputs = std::move(inputs);
    node.outputs = {output};
    added_.push_back({after + 1, std::move(node)});
  }

  Graph& graph_;
  std::vector<std::pair<size_t, Node>> added_;
};

}  // namespace

void lower_activations(Graph& graph) {
  Lowering(graph).run();
  remove_dead_nodes(graph);
}

}  // namespace vitrail::cuda
