// SPDX-License-Identifier: Apache-2.0
#include "passes/select_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "graph/edit.h"
#include "graph/linear_inputs.h"

namespace vitrail {
namespace {

constexpr const char* kRowsOf = "rows_of";
constexpr const char* kRows = "rows";
// More rows than one in four are not worth the copies; it keeps "all but the class token" where it is.
constexpr int64_t kLeastShare = 4;

struct Rows {
  int64_t first, end;
};

// [B, T, C] with fixed T and C, the only values whose rows are selected.
const SymShape* tokens(const Graph& graph, ValueId id) {
  const auto& shape = graph.value(id).shape;
  return shape && shape->size() == 3 && (*shape)[1].is_fixed() && (*shape)[2].is_fixed() ? &*shape : nullptr;
}

bool is_token_axis(int64_t axis) { return axis == 1 || axis == -2; }

// The only number of a constant integer operand.
std::optional<int64_t> number(const Graph& graph, ValueId id) {
  if (!graph.is_constant(id)) return std::nullopt;
  const auto& list = graph.value(id).integers;
  return list && list->size() == 1 ? std::optional(list->front().fixed) : std::nullopt;
}

// The rows that a Gather of one index or a Slice along the tokens picks out of `count`.
std::optional<Rows> picked_rows(const Graph& graph, const Node& node, int64_t count) {
  const auto from_front = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + count : i, 0, count); };
  if (node.op == Op::Gather) {
    const auto index = number(graph, node.input(1));
    if (!index || !is_token_axis(node.integer("axis", 0)) || *index < -count || *index >= count)
      return std::nullopt;
    return Rows{from_front(*index), from_front(*index) + 1};
  }
  if (node.op != Op::Slice) return std::nullopt;
  const auto start = number(graph, node.input(1)), end = number(graph, node.input(2)),
             axis = number(graph, node.input(3));
  if (!start || !end || !axis || !is_token_axis(*axis)) return std::nullopt;
  if (node.input(4) != kNoValue && number(graph, node.input(4)) != 1) return std::nullopt;
  const Rows rows{from_front(*start), from_front(*end)};
  return rows.first < rows.end ? std::optional(rows) : std::nullopt;
}

// The rows that the readers of a value pick, together; none where one reads it otherwise.
std::optional<Rows> rows_read(const Graph& graph, const UseMap& uses, ValueId id) {
  const SymShape* shape = tokens(graph, id);
  if (!shape || uses.is_output(id) || uses.consumers(id).empty()) return std::nullopt;
  std::optional<Rows> all;
  for (int n : uses.consumers(id)) {
    const auto rows = picked_rows(graph, graph.nodes[static_cast<size_t>(n)], (*shape)[1].fixed);
    if (!rows) return std::nullopt;
    all = all ? Rows{std::min(all->first, rows->first), std::max(all->end, rows->end)} : *rows;
  }
  return (all->end - all->first) * kLeastShare <= (*shape)[1].fixed ? all : std::nullopt;
}

enum class Operand { kRowByRow, kSameForAllRows, kOther };

Operand operand_of(const Graph& graph, ValueId id, const SymShape& out) {
  const auto& shape = graph.value(id).shape;
  if (!shape) return Operand::kOther;
  if (shape->size() == 3 && (*shape)[0] == out[0] && (*shape)[1] == out[1] && !graph.is_constant(id))
    return Operand::kRowByRow;
  return shape->size() < 2 || (*shape)[shape->size() - 2] == Dim::of(1) ? Operand::kSameForAllRows
                                                                        : Operand::kOther;
}

// The operands whose rows are those of the output; empty where rows mix or the operator is not known here.
std::vector<size_t> operands_with_rows(const Graph& graph, const Node& node) {
  if (node.outputs.size() != 1 || !tokens(graph, node.outputs[0])) return {};
  const SymShape& out = *graph.value(node.outputs[0]).shape;
  std::vector<size_t> candidates;
  switch (node.op) {
    case Op::Linear:
    case Op::QuantizedLinear:
      candidates = {0, residual_input(node)};
      break;
    case Op::DequantizeLinear:
    case Op::QuantizeLinear:
      if (const auto& scale = graph.value(node.inputs[1]).shape;
          !scale || element_count(*scale) != Dim::of(1))
        return {};
      candidates = {0};
      break;
    case Op::LayerNormalization:
      if (node.integer("axis", -1) != -1 && node.integer("axis", -1) != 2) return {};
      candidates = {0};
      break;
    default:
      if (!has_trait(node.op, kElementwise)) return {};
      for (size_t i = 0; i < node.inputs.size(); ++i) candidates.push_back(i);
  }
  std::vector<size_t> row_by_row;
  for (size_t i : candidates) {
    if (node.input(i) == kNoValue) continue;
    const Operand operand = operand_of(graph, node.inputs[i], out);
    if (operand == Operand::kOther) return {};
    if (operand == Operand::kRowByRow) row_by_row.push_back(i);
  }
  return row_by_row;
}

// The nodes above `root` whose rows are read by each other and by the readers of `root` only.
std::vector<bool> nodes_to_narrow(const Graph& graph, const UseMap& uses, ValueId root) {
  std::vector<bool> narrow(graph.nodes.size());
  const Dim count = (*graph.value(root).shape)[1];
  for (int n = uses.producer(root); n >= 0; --n) {
    const Node& node = graph.nodes[static_cast<size_t>(n)];
    if (selection_of(node) || operands_with_rows(graph, node).empty()) continue;
    const ValueId made = node.outputs[0];
    // An operand that is the same for all rows has other rows than `root`, or none.
    if ((*graph.value(made).shape)[1] != count) continue;
    const auto readers = uses.consumers(made);
    narrow[static_cast<size_t>(n)] =
        made == root || (!uses.is_output(made) && !readers.empty() &&
                         std::all_of(readers.begin(), readers.end(),
                                     [&](int reader) { return narrow[static_cast<size_t>(reader)]; }));
  }
  return narrow;
}

void mark(Node& node, const RowSelection& made) {
  node.attributes[kRowsOf] = made.value;
  node.attributes[kRows] = std::vector<int64_t>{made.first, made.end};
}

// The name says which rows they are: one that the model itself uses would be looked up in the reference.
ValueId add_rows(Graph& graph, ValueId full, const RowSelection& selection) {
  SymShape shape = *graph.value(full).shape;
  shape[1] = Dim::of(selection.end - selection.first);
  return add_intermediate(graph, fmt::format("{}[:,{}:{}]", selection.value, selection.first, selection.end),
                          graph.value(full).dtype, std::move(shape));
}

// Makes the nodes compute `rows` only.
class Narrowing {
 public:
  Narrowing(Graph& graph, Rows rows) : graph_(graph), rows_(rows) {}

  void narrow(size_t index) {
    const auto operands = operands_with_rows(graph_, graph_.nodes[index]);
    for (size_t i : operands) {
      const ValueId full = graph_.nodes[index].inputs[i];
      if (!narrow_.contains(full)) {
        Node slice = slice_rows(graph_, full, selection(full));
        narrow_[full] = slice.outputs[0];
        slices_.emplace_back(index, std::move(slice));
      }
      graph_.nodes[index].inputs[i] = narrow_[full];
    }
    const ValueId full = graph_.nodes[index].outputs[0];
    const RowSelection made = selection(full);
    narrow_[full] = add_rows(graph_, full, made);
    graph_.nodes[index].outputs[0] = narrow_[full];
    mark(graph_.nodes[index], made);
  }

  // A Gather or Slice of `root` picks from the rows that are left.
  void adjust_reader(size_t index, ValueId root, int64_t count) {
    const Rows rows = *picked_rows(graph_, graph_.nodes[index], count);
    const auto operand = [&](ValueId like, int64_t value) {
      const auto& shape = graph_.constant(like).shape();
      return add_weight(graph_, graph_.value(like).name, Tensor::i64(shape, {value}));
    };
    std::vector<ValueId> inputs = graph_.nodes[index].inputs;
    inputs[0] = narrow_[root];
    if (rows_.end - rows_.first == 1) {  // nothing to pick: at most the axis goes
      std::vector<int64_t> shape;
      for (Dim d : *graph_.value(graph_.nodes[index].outputs[0]).shape)
        shape.push_back(d.is_fixed() ? d.fixed : -1);
      graph_.nodes[index].op = Op::Reshape;
      graph_.nodes[index].attributes = {{"shape", std::move(shape)}};
      inputs.resize(1);
    } else {
      inputs[1] = operand(inputs[1], rows.first - rows_.first);
      if (graph_.nodes[index].op == Op::Slice) inputs[2] = operand(inputs[2], rows.end - rows_.first);
    }
    graph_.nodes[index].inputs = std::move(inputs);
  }

  void insert() { insert_nodes(graph_, std::move(slices_)); }

 private:
  RowSelection selection(ValueId full) const { return {graph_.value(full).name, rows_.first, rows_.end}; }

  Graph& graph_;
  Rows rows_;
  std::map<ValueId, ValueId> narrow_;  // by the full value
  std::vector<std::pair<size_t, Node>> slices_;
};

// One value of which a few rows are read; returns how many nodes above it were narrowed.
int narrow_above(Graph& graph, const UseMap& uses, ValueId root, Rows rows) {
  const auto narrow = nodes_to_narrow(graph, uses, root);
  const auto count = std::count(narrow.begin(), narrow.end(), true);
  if (count == 0) return 0;
  const int64_t all = (*graph.value(root).shape)[1].fixed;
  Narrowing work(graph, rows);
  for (size_t n = 0; n < narrow.size(); ++n)
    if (narrow[n]) work.narrow(n);
  for (int reader : uses.consumers(root)) work.adjust_reader(static_cast<size_t>(reader), root, all);
  work.insert();
  return static_cast<int>(count);
}

}  // namespace

int select_rows(Graph& graph) {
  int narrowed = 0;
  for (int changes = 1; changes > 0; narrowed += changes) {
    changes = 0;
    const UseMap uses(graph);
    for (size_t n = 0; n < graph.nodes.size() && changes == 0; ++n) {
      const ValueId root = graph.nodes[n].outputs.empty() ? kNoValue : graph.nodes[n].outputs[0];
      if (root == kNoValue) continue;
      if (const auto rows = rows_read(graph, uses, root)) changes = narrow_above(graph, uses, root, *rows);
    }
  }
  return narrowed;
}

std::optional<RowSelection> selection_of(const Node& node) {
  const auto rows = node.integers(kRows);
  std::string value = node.text(kRowsOf, "");
  if (value.empty() || rows.size() != 2) return std::nullopt;
  return RowSelection{std::move(value), rows[0], rows[1]};
}

Node slice_rows(Graph& graph, ValueId from, const RowSelection& selection) {
  Node slice;
  slice.op = Op::Slice;
  slice.outputs = {add_rows(graph, from, selection)};
  slice.name = graph.value(slice.outputs[0]).name;
  slice.inputs = {from};
  const auto operand = [&](const char* name, int64_t value) {
    slice.inputs.push_back(add_weight(graph, slice.name + name, Tensor::i64({1}, {value})));
  };
  operand(".start", selection.first);
  operand(".end", selection.end);
  operand(".axis", 1);
  mark(slice, selection);
  return slice;
}

}  // namespace vitrail
