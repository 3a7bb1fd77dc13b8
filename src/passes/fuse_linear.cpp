// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_linear.h"

#include "graph/edit.h"
#include "passes/match.h"

namespace vitrail {
namespace {

bool is_f32_matrix(const Graph& graph, ValueId id) {
  return graph.is_constant(id) && graph.constant(id).dtype() == DType::kF32 && graph.constant(id).rank() == 2;
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
  Tensor out = tensor.clone();
  for (float& v : out.as_mutable<float>()) v *= factor;
  return out;
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
  fuse_bias(graph, Op::Linear);
  return made;
}

}  // namespace vitrail
