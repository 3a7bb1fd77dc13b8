// SPDX-License-Identifier: Apache-2.0
#include "passes/match.h"

#include <cmath>

namespace vitrail {

Node* Matcher::producer(ValueId id) const {
  if (id == kNoValue || static_cast<size_t>(id) >= graph_.values.size()) return nullptr;
  const int n = uses_.producer(id);
  return n < 0 ? nullptr : &graph_.nodes[static_cast<size_t>(n)];
}

Node* Matcher::producer(ValueId id, Op op) const {
  Node* node = producer(id);
  return node && node->op == op ? node : nullptr;
}

std::optional<double> Matcher::scalar(ValueId id) const {
  if (!graph_.is_constant(id)) return std::nullopt;
  const Tensor& t = graph_.constant(id);
  if (t.count() != 1) return std::nullopt;
  if (t.dtype() == DType::kF32) return t.as<float>()[0];
  if (t.dtype() == DType::kF64) return t.as<double>()[0];
  return std::nullopt;
}

bool Matcher::is_scalar(ValueId id, double expected) const {
  const auto s = scalar(id);
  return s && std::abs(*s - expected) <= 1e-3 * std::abs(expected);
}

std::optional<Matcher::Split> Matcher::split(const Node& node, Op op) const {
  for (size_t i : {size_t{0}, size_t{1}})
    if (Node* p = producer(node.input(i), op)) return Split{p, node.input(1 - i)};
  return std::nullopt;
}

std::optional<std::pair<ValueId, ValueId>> Matcher::constant_operand(const Node& node) const {
  for (size_t i : {size_t{0}, size_t{1}})
    if (graph_.is_constant(node.input(i)) && !graph_.is_constant(node.input(1 - i)))
      return std::pair{node.input(i), node.input(1 - i)};
  return std::nullopt;
}

bool is_row_constant(const Graph& graph, ValueId id, int64_t count) {
  if (!graph.is_constant(id)) return false;
  const Tensor& t = graph.constant(id);
  if (t.dtype() != DType::kF32) return false;
  if (t.count() == 1) return true;
  return t.count() == count && !t.shape().empty() && t.shape().back() == count;
}

Tensor row_constant(const Tensor& constant, int64_t count) {
  if (constant.count() == count) return constant.reshaped({count});
  Tensor row(DType::kF32, {count});
  for (float& v : row.as_mutable<float>()) v = constant.as<float>()[0];
  return row;
}

int64_t last_extent(const Graph& graph, ValueId id) {
  const auto& shape = graph.value(id).shape;
  return shape && !shape->empty() && shape->back().is_fixed() ? shape->back().fixed : -1;
}

}  // namespace vitrail
