// SPDX-License-Identifier: Apache-2.0
// What follows a Linear or QuantizedLinear and moves into it.
#include "graph/edit.h"
#include "graph/linear_inputs.h"
#include "passes/fuse_linear.h"
#include "passes/match.h"

namespace vitrail {
namespace {

Tensor scaled_columns(const Tensor& matrix, const Tensor& row) {
  Tensor out = matrix.clone();
  auto values = out.as_mutable<float>();
  const auto factors = row.as<float>();
  for (size_t i = 0; i < values.size(); ++i) values[i] *= factors[i % factors.size()];
  return out;
}

// A Linear that still has room for what follows it: no residual yet, and nobody else reads its output.
Node* open_linear(const Matcher& match, ValueId id) {
  Node* node = match.producer(id);
  return node && is_linear(*node) && residual_of(*node) == kNoValue && match.single_use(id) ? node : nullptr;
}

void set_input(Node& node, size_t i, ValueId id) {
  if (node.inputs.size() <= i) node.inputs.resize(i + 1, kNoValue);
  node.inputs[i] = id;
}

// Turns the node into a copy of `linear` that makes the node's output under the node's name.
void absorb(Node& node, const Node& linear) {
  node.op = linear.op;
  node.inputs = linear.inputs;
  node.attributes = linear.attributes;
}

std::string activation_of(const Node& node) {
  switch (node.op) {
    case Op::Gelu: {
      const std::string approximate = node.text("approximate", "none");
      return approximate == "none" ? "gelu" : "gelu_" + approximate;
    }
    case Op::Relu:
      return "relu";
    case Op::Sigmoid:
      return "sigmoid";
    case Op::Tanh:
      return "tanh";
    default:
      return "";
  }
}

}  // namespace

int fuse_bias(Graph& graph, Op op) {
  int fused = 0;
  const Matcher match(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].op != Op::Add) continue;
    const auto operand = match.constant_operand(graph.nodes[i]);
    const Node* linear = operand ? open_linear(match, operand->second) : nullptr;
    if (!linear || linear->op != op || bias_of(*linear) != kNoValue || linear->has("activation")) continue;
    const int64_t width = graph.constant(linear->input(1)).dim(1);
    if (!is_row_constant(graph, operand->first, width)) continue;
    const Node copy = *linear;
    Tensor bias = row_constant(graph.constant(operand->first), width);
    const ValueId id = add_weight(graph, copy.name + ".bias", std::move(bias));
    absorb(graph.nodes[i], copy);
    set_input(graph.nodes[i], bias_input(copy), id);
    ++fused;
  }
  return fused;
}

int fold_layer_scale(Graph& graph) {
  int folded = 0;
  const Matcher match(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].op != Op::Mul) continue;
    const auto operand = match.constant_operand(graph.nodes[i]);
    const Node* found = operand ? open_linear(match, operand->second) : nullptr;
    if (!found || found->has("activation")) continue;
    const Node linear = *found;
    const int64_t width = graph.constant(linear.input(1)).dim(1);
    if (!is_row_constant(graph, operand->first, width)) continue;
    const Tensor scale = row_constant(graph.constant(operand->first), width);
    // Integer weights stay; the scale of their columns takes the factor.
    const size_t factors = linear.op == Op::QuantizedLinear ? 2 : 1;
    const ValueId weight = add_weight(graph, linear.name + ".scaled_weight",
                                      scaled_columns(graph.constant(linear.input(factors)), scale));
    absorb(graph.nodes[i], linear);
    graph.nodes[i].inputs[factors] = weight;
    if (bias_of(linear) != kNoValue)
      graph.nodes[i].inputs[bias_input(linear)] = add_weight(
          graph, linear.name + ".scaled_bias", scaled_columns(graph.constant(bias_of(linear)), scale));
    ++folded;
  }
  return folded;
}

int fuse_epilogues(Graph& graph) {
  int fused = 0;
  {
    const Matcher match(graph);
    for (Node& node : graph.nodes) {
      const std::string activation = activation_of(node);
      const Node* linear = activation.empty() ? nullptr : open_linear(match, node.input(0));
      if (!linear || linear->has("activation")) continue;
      absorb(node, *linear);
      node.attributes["activation"] = activation;
      ++fused;
    }
  }
  const Matcher match(graph);
  for (Node& node : graph.nodes) {
    if (node.op != Op::Add) continue;
    // The later operand is the branch, the earlier one the stream it returns to: try the second first.
    for (size_t i : {size_t{1}, size_t{0}}) {
      const Node* linear = open_linear(match, node.input(i));
      const ValueId residual = node.input(1 - i);
      if (!linear || residual == node.input(i) || graph.is_constant(residual) ||
          graph.value(residual).shape != graph.value(node.outputs[0]).shape ||
          graph.value(node.input(i)).shape != graph.value(node.outputs[0]).shape)
        continue;
      absorb(node, *linear);
      set_input(node, residual_input(node), residual);
      ++fused;
      break;
    }
  }
  return fused;
}

}  // namespace vitrail
