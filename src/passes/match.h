// SPDX-License-Identifier: Apache-2.0
// Small helpers for recognising patterns. A pass turns the LAST node of a pattern into the fused node, in
// place; what the pattern leaves unread is swept by remove_dead_nodes(), so a value that somebody else reads
// is never lost.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace vitrail {

class Matcher {
 public:
  explicit Matcher(Graph& graph) : graph_(graph), uses_(graph) {}

  // The node that makes `id` when it is an `op`, else null.
  Node* producer(ValueId id, Op op) const;
  Node* producer(ValueId id) const;
  const UseMap& uses() const { return uses_; }
  bool single_use(ValueId id) const { return uses_.has_one_use(id); }

  // The only element of a float constant.
  std::optional<double> scalar(ValueId id) const;
  bool is_scalar(ValueId id, double expected) const;  // within 1e-3 relative: half-precision exports round

  // For a commutative binary node: the operands ordered so that the first is made by `op`.
  struct Split {
    Node* made_by;
    ValueId other;
  };
  std::optional<Split> split(const Node& node, Op op) const;
  // The operands ordered so that the first is a constant and the second is not.
  std::optional<std::pair<ValueId, ValueId>> constant_operand(const Node& node) const;

 private:
  Graph& graph_;
  UseMap uses_;
};

// A float constant with `count` elements, all of them along the last axis ([C], [1,1,C], …), or one element.
bool is_row_constant(const Graph& graph, ValueId id, int64_t count);

// The row constant as [count], a single element repeated.
Tensor row_constant(const Tensor& constant, int64_t count);

// Extent of the last axis when the shape is known and that extent is fixed; -1 otherwise.
int64_t last_extent(const Graph& graph, ValueId id);

}  // namespace vitrail
