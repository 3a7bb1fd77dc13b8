// SPDX-License-Identifier: Apache-2.0
#include "passes/unfused.h"

#include <fmt/format.h>

#include "passes/match.h"

namespace vitrail {
namespace {

bool is_read_by(const Graph& graph, const Matcher& match, ValueId id, Op op) {
  for (int reader : match.uses().consumers(id))
    if (graph.nodes[static_cast<size_t>(reader)].op == op) return true;
  return false;
}

// Dynamo's guard against rows of NaN and other steps may stand between the softmax and the product with the values.
const Node* product_with_values(const Graph& graph, const Matcher& match, const Node& softmax) {
  ValueId id = softmax.outputs[0];
  for (int depth = 0; depth < 3; ++depth) {
    const Node* next = nullptr;
    for (int reader : match.uses().consumers(id)) {
      const Node& node = graph.nodes[static_cast<size_t>(reader)];
      if (node.op == Op::MatMul && node.input(0) == id) return &node;
      if (node.op == Op::Where || node.op == Op::Reshape || node.op == Op::Mul) next = &node;
    }
    if (!next) return nullptr;
    id = next->outputs[0];
  }
  return nullptr;
}

// What stands between a softmax and the product of queries and keys that fused attention does not know; null when nothing does.
const Node* stranger(const Matcher& match, ValueId id) {
  for (int depth = 0; depth < 6; ++depth) {
    const Node* node = match.producer(id);
    if (!node || node->op == Op::MatMul) return nullptr;
    const bool scales = (node->op == Op::Mul && (match.scalar(node->input(0)) || match.scalar(node->input(1)))) ||
                        (node->op == Op::Div && match.scalar(node->input(1)));
    if (scales) {
      id = node->input(node->op == Op::Mul && match.scalar(node->input(0)) ? 1 : 0);
    } else if (node->op == Op::Add) {
      const Node *left = match.producer(node->input(0)), *right = match.producer(node->input(1));
      const bool is_right = !left || (left->op != Op::MatMul && right && right->op == Op::MatMul);
      id = node->input(is_right ? 1 : 0);
    } else {
      return node;
    }
  }
  return nullptr;
}

std::string why_no_attention(const Graph& graph, const Matcher& match, const Node& softmax, const Node& product) {
  const auto& shape = graph.value(softmax.outputs[0]).shape;
  if (const Node* other = stranger(match, softmax.input(0)))
    return fmt::format("{} stands between the product of queries and keys and the softmax; a scale and one mask may",
                       op_name(other->op));
  if (!shape || shape->size() != 4)
    return fmt::format("its weights are {}, not [batch, heads, queries, keys]", shape ? to_string(*shape) : "of unknown shape");
  bool merged = false;
  for (int reader : match.uses().consumers(product.outputs[0]))
    merged |= graph.nodes[static_cast<size_t>(reader)].integers("perm") == std::vector<int64_t>{0, 2, 1, 3};
  if (!merged) return "its heads are not put side by side by a Transpose to [batch, queries, heads, channels]";
  return "its queries, keys or values are not [batch, heads, tokens, channels] of known extents, or its mask may hide every key";
}

bool reduces_last(const Graph& graph, const Node& node) {
  const auto& shape = graph.value(node.input(0)).shape;
  const ValueId axes = node.input(1);
  if (!shape || axes == kNoValue || !graph.value(axes).integers || graph.value(axes).integers->size() != 1) return false;
  const Dim axis = graph.value(axes).integers->front();
  return axis == Dim::of(-1) || axis == Dim::of(static_cast<int64_t>(shape->size()) - 1);
}

}  // namespace

std::vector<Unfused> find_unfused(Graph& graph) {
  const Matcher match(graph);
  std::vector<Unfused> found;
  for (const Node& node : graph.nodes) {
    if (node.op == Op::Softmax) {
      if (const Node* product = product_with_values(graph, match, node))
        found.push_back({"attention", node.name, why_no_attention(graph, match, node, *product)});
    } else if (node.op == Op::Erf) {
      found.push_back({"GELU", node.name, "the Erf is no part of x/2 · (1 + erf(x/√2))"});
    } else if (node.op == Op::ReduceMean && reduces_last(graph, node)) {
      const Node* squares = match.producer(node.input(0));
      const bool of_squares = squares && (squares->op == Op::Pow || (squares->op == Op::Mul && squares->input(0) == squares->input(1)));
      if (of_squares && is_read_by(graph, match, node.outputs[0], Op::Add) && !match.producer(squares->input(0), Op::Sub))
        found.push_back({"normalisation", node.name, "RMS normalisation has no fused layer"});
      else if (is_read_by(graph, match, node.outputs[0], Op::Sub))
        found.push_back({"normalisation", node.name, "its scale and bias are not constant rows, or its steps not those of a LayerNorm"});
    }
  }
  return found;
}

}  // namespace vitrail
