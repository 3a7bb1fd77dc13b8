// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "graph/graph.h"

namespace vitrail {

// Where only a few tokens are read in the end (the class token), what treats tokens apart is computed for
// these alone: a Gather or Slice along the tokens moves up through LayerNormalization, Linear and
// element-wise nodes, as far as nobody else reads what they make. The arithmetic of the rows that are left is
// the same to the bit. Returns how many nodes compute fewer rows.
int select_rows(Graph& graph);

// What a node makes when select_rows() has left it some rows of a value of the model. It is kept with the
// node, in the attributes `rows_of` and `rows`: the full value is gone from the graph, and with it the name
// under which `verify` would find it in the reference.
struct RowSelection {
  std::string value;  // of the model, [B,T,C]
  int64_t first = 0;  // along T
  int64_t end = 0;
};
std::optional<RowSelection> selection_of(const Node& node);

// A Slice of axis 1 of `from` that makes a new value, named after the selection. It belongs to no place in
// the graph yet.
Node slice_rows(Graph& graph, ValueId from, const RowSelection& selection);

}  // namespace vitrail
