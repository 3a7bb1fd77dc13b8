// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_linear.h"

#include "graph/edit.h"
#include "passes/match.h"

namespace vitrail {
namespace {

bool is_f32_matrix(const Graph& graph, ValueId id) {
  return graph.is_constant(id) && graph.constant(id).dtype() == DType::kF32 && graph.constant(id).rank() == 2;
}

Tensor scaled_columns(const Tensor& matrix, const Tensor& row) {
  Tensor out = matrix.clone();
  auto values = out.as_mutable<float>();
  const auto factors = row.as<float>();
  for (size_t i = 0; i < values.size(); ++i) values[i] *= factors[i % factors.size()];
  return out;
}

Tensor transposed(const Tensor& matrix) {
  const int64_t rows = matrix.dim(0), columns = matrix.dim(1);
  Tensor out(DType::kF32, {columns, rows});
  const auto from = matrix.as<float>();
  auto to = out.as_mutable<float>();
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      to[static_cast<size_t>(c * rows + r)] = from[static_cast<size_t>(r * columns + c)];
  return out;
}

Tensor scaled(const Tensor& tensor, float factor) {
  return scaled_columns(tensor, Tensor::f32({1}, {factor}));
}

// Gemm(A, B, C) = alpha·A·op(B) + beta·C with constant B and C.
bool gemm_to_linear(Graph& graph, size_t index) {
  Node node = graph.nodes[index];
  if (node.integer("transA", 0) != 0 || !is_f32_matrix(graph, node.input(1))) return false;
  const bool transposed_b = node.integer("transB", 0) != 0;
  const float alpha = node.real("alpha", 1), beta = node.real("beta", 1);
  Tensor weight = graph.constant(node.input(1));
  const int64_t width = weight.dim(transposed_b ? 0 : 1);
  const ValueId c = node.input(2);
  if (c != kNoValue && !is_row_constant(graph, c, width)) return false;
  std::vector<ValueId> inputs{node.input(0), node.input(1)};
  if (transposed_b || alpha != 1) {
    if (transposed_b) weight = transposed(weight);
    if (alpha != 1) weight = scaled(weight, alpha);
    inputs[1] = add_weight(graph, node.name + ".weight", weight);
  }
  if (c != kNoValue) {
    Tensor bias = row_constant(graph.constant(c), width);
    inputs.push_back(add_weight(graph, node.name + ".bias", beta == 1 ? bias : scaled(bias, beta)));
  }
  node.op = Op::Linear;
  node.inputs = inputs;
  node.attributes.clear();
  graph.nodes[index] = std::move(node);
  return true;
}

// A Linear that still has room for what follows it: no residual yet, and nobody else reads its output.
Node* open_linear(const Matcher& match, ValueId id) {
  Node* linear = match.producer(id, Op::Linear);
  return linear && linear->input(3) == kNoValue && match.single_use(id) ? linear : nullptr;
}

// Turns the node into a copy of `linear` that makes the node's output under the node's name.
void absorb(Node& node, const Node& linear) {
  node.op = Op::Linear;
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

int fuse_linear(Graph& graph) {
  int made = 0;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& node = graph.nodes[i];
    if (node.op == Op::MatMul && is_f32_matrix(graph, node.input(1)) && !graph.is_constant(node.input(0))) {
      node.op = Op::Linear;
      ++made;
    } else if (node.op == Op::Gemm && gemm_to_linear(graph, i)) {
      ++made;
    }
  }
  const Matcher match(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].op != Op::Add) continue;
    const auto operand = match.constant_operand(graph.nodes[i]);
    const Node* linear = operand ? open_linear(match, operand->second) : nullptr;
    if (!linear || linear->input(2) != kNoValue) continue;
    const int64_t width = graph.constant(linear->input(1)).dim(1);
    if (!is_row_constant(graph, operand->first, width)) continue;
    const Node copy = *linear;
    Tensor bias = row_constant(graph.constant(operand->first), width);
    const ValueId id = add_weight(graph, copy.name + ".bias", std::move(bias));
    absorb(graph.nodes[i], copy);
    graph.nodes[i].inputs = {copy.input(0), copy.input(1), id};
  }
  return made;
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
    const ValueId weight = add_weight(graph, linear.name + ".scaled_weight",
                                      scaled_columns(graph.constant(linear.input(1)), scale));
    absorb(graph.nodes[i], linear);
    graph.nodes[i].inputs[1] = weight;
    if (linear.input(2) != kNoValue)
      graph.nodes[i].inputs[2] = add_weight(graph, linear.name + ".scaled_bias",
                                            scaled_columns(graph.constant(linear.input(2)), scale));
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
      node.inputs.resize(4, kNoValue);
      node.inputs[3] = residual;
      ++fused;
      break;
    }
  }
  return fused;
}

}  // namespace vitrail
