// SPDX-License-Identifier: Apache-2.0
#include "passes/strided_view.h"

#include <algorithm>
#include <numeric>

namespace vitrail {
namespace {

// Row-major strides; none when an inner extent depends on the batch.
std::optional<std::vector<int64_t>> contiguous(const SymShape& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t next = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = next;
    if (i > 0 && !shape[i].is_fixed()) return std::nullopt;
    next *= shape[i].fixed;
  }
  return strides;
}

// Batch sizes are compared at one large prime; the symbolic extents are then compared as well.
constexpr int64_t kProbe = 1000003;

// Splits and merges axes as a Reshape does, where the strides allow it (NumPy's no-copy reshape).
bool reshape(StridedView& view, const SymShape& target) {
  SymShape from;
  std::vector<int64_t> from_strides;
  for (size_t i = 0; i < view.shape.size(); ++i)
    if (view.shape[i] != Dim::of(1)) {
      from.push_back(view.shape[i]);
      from_strides.push_back(view.strides[i]);
    }
  std::vector<int64_t> strides(target.size(), 0);
  size_t i = 0, j = 0;
  while (i < from.size()) {
    while (j < target.size() && target[j] == Dim::of(1)) ++j;
    if (j == target.size()) return false;
    const size_t i0 = i, j0 = j;
    Dim a = from[i++], b = target[j++];
    while (!(a == b)) {
      const bool grow_a = a.at(kProbe) < b.at(kProbe);
      if (grow_a ? i == from.size() : j == target.size()) return false;
      const auto product = grow_a ? multiply(a, from[i++]) : multiply(b, target[j++]);
      if (!product) return false;
      (grow_a ? a : b) = *product;
    }
    for (size_t k = i0; k + 1 < i; ++k)
      if (!from[k + 1].is_fixed() || from_strides[k] != from_strides[k + 1] * from[k + 1].fixed) return false;
    int64_t stride = from_strides[i - 1];
    for (size_t k = j; k-- > j0;) {
      strides[k] = stride;
      if (k > j0 && !target[k].is_fixed()) return false;
      stride *= target[k].fixed;
    }
  }
  for (; j < target.size(); ++j)
    if (target[j] != Dim::of(1)) return false;
  view.shape = target;
  view.strides = std::move(strides);
  return true;
}

bool transpose(StridedView& view, const Node& node) {
  const size_t rank = view.shape.size();
  std::vector<int64_t> perm = node.integers("perm");
  if (perm.empty()) {
    perm.resize(rank);
    std::iota(perm.rbegin(), perm.rend(), 0);
  }
  if (perm.size() != rank) return false;
  const StridedView old = view;
  for (size_t i = 0; i < rank; ++i) {
    view.shape[i] = old.shape[static_cast<size_t>(perm[i])];
    view.strides[i] = old.strides[static_cast<size_t>(perm[i])];
  }
  return true;
}

std::optional<size_t> axis_of(int64_t axis, size_t rank) {
  if (axis < 0) axis += static_cast<int64_t>(rank);
  if (axis < 0 || axis >= static_cast<int64_t>(rank)) return std::nullopt;
  return static_cast<size_t>(axis);
}

const std::vector<Dim>* fixed_integers(const Graph& graph, ValueId id, size_t count) {
  if (id == kNoValue || !graph.value(id).integers || graph.value(id).integers->size() != count) return nullptr;
  for (Dim d : *graph.value(id).integers)
    if (!d.is_fixed()) return nullptr;
  return &*graph.value(id).integers;
}

bool gather(StridedView& view, const Graph& graph, const Node& node) {
  const auto axis = axis_of(node.integer("axis", 0), view.shape.size());
  const auto* index = fixed_integers(graph, node.input(1), 1);
  if (!axis || !index || !graph.value(node.input(1)).shape->empty()) return false;
  int64_t i = (*index)[0].fixed;
  if (i < 0) {
    if (!view.shape[*axis].is_fixed()) return false;
    i += view.shape[*axis].fixed;
  }
  view.offset += i * view.strides[*axis];
  view.shape.erase(view.shape.begin() + static_cast<std::ptrdiff_t>(*axis));
  view.strides.erase(view.strides.begin() + static_cast<std::ptrdiff_t>(*axis));
  return true;
}

// Output `made` of a Split: the extents of the earlier outputs are the offset.
bool split(StridedView& view, const Graph& graph, const Node& node, ValueId made) {
  const auto axis = axis_of(node.integer("axis", 0), view.shape.size());
  if (!axis) return false;
  int64_t start = 0;
  for (ValueId output : node.outputs) {
    const auto& shape = output == kNoValue ? std::nullopt : graph.value(output).shape;
    if (!shape || !(*shape)[*axis].is_fixed()) return false;
    if (output == made) {
      view.shape[*axis] = (*shape)[*axis];
      view.offset += start * view.strides[*axis];
      return true;
    }
    start += (*shape)[*axis].fixed;
  }
  return false;
}

bool slice(StridedView& view, const Graph& graph, const Node& node) {
  const auto& shape = graph.value(node.outputs[0]).shape;
  const auto* starts = fixed_integers(graph, node.input(1), 1);
  const auto* axes = fixed_integers(graph, node.input(3), 1);
  const auto* steps = node.input(4) == kNoValue ? nullptr : fixed_integers(graph, node.input(4), 1);
  if (!shape || !starts || !axes || (node.input(4) != kNoValue && (!steps || (*steps)[0] != Dim::of(1)))) return false;
  const auto axis = axis_of((*axes)[0].fixed, view.shape.size());
  if (!axis) return false;
  int64_t start = (*starts)[0].fixed;
  if (start < 0) {
    if (!view.shape[*axis].is_fixed()) return false;
    start = std::max<int64_t>(0, start + view.shape[*axis].fixed);
  }
  view.offset += start * view.strides[*axis];
  view.shape[*axis] = (*shape)[*axis];
  return true;
}

bool apply(StridedView& view, const Graph& graph, const Matcher& match, const Node& node, ValueId made) {
  const auto& shape = graph.value(made).shape;
  switch (node.op) {
    case Op::Identity: return true;
    case Op::Reshape:
    case Op::Squeeze:
    case Op::Unsqueeze:
    case Op::Flatten: return shape && reshape(view, *shape);
    case Op::Transpose: return transpose(view, node);
    case Op::Gather: return gather(view, graph, node);
    case Op::Split: return split(view, graph, node, made);
    case Op::Slice: return slice(view, graph, node);
    case Op::Mul:
    case Op::Div: {
      const bool first = node.op == Op::Mul && match.scalar(node.input(0)).has_value();
      const auto s = match.scalar(node.input(first ? 0 : 1));
      if (!s || shape != graph.value(node.input(first ? 1 : 0)).shape) return false;
      view.scale *= node.op == Op::Mul ? *s : 1 / *s;
      return true;
    }
    default: return false;
  }
}

// The operand that a view operation looks at; kNoValue when the node is none.
ValueId viewed_operand(const Matcher& match, const Node& node) {
  switch (node.op) {
    case Op::Identity: case Op::Reshape: case Op::Squeeze: case Op::Unsqueeze: case Op::Flatten:
    case Op::Transpose: case Op::Gather: case Op::Split: case Op::Slice:
      return node.input(0);
    case Op::Mul: return match.scalar(node.input(0)) ? node.input(1) : match.scalar(node.input(1)) ? node.input(0) : kNoValue;
    case Op::Div: return match.scalar(node.input(1)) ? node.input(0) : kNoValue;
    default: return kNoValue;
  }
}

}  // namespace

std::optional<StridedView> trace_view(const Graph& graph, const Matcher& match, ValueId id) {
  std::vector<ValueId> chain{id};  // from `id` back to the farthest candidate
  while (const Node* node = match.producer(chain.back())) {
    const ValueId operand = viewed_operand(match, *node);
    if (operand == kNoValue || !graph.value(operand).shape || graph.is_constant(operand)) break;
    chain.push_back(operand);
  }
  // Try the farthest source first; where a step cannot be a view, start after it.
  size_t start = chain.size();
  while (start-- > 0) {
    StridedView view;
    view.source = chain[start];
    if (!graph.value(view.source).shape) return std::nullopt;
    view.shape = *graph.value(view.source).shape;
    const auto strides = contiguous(view.shape);
    if (!strides) continue;
    view.strides = *strides;
    bool viewed = true;
    for (size_t i = start; i-- > 0 && viewed;)
      viewed = apply(view, graph, match, *match.producer(chain[i]), chain[i]);
    if (viewed) return view;
  }
  return std::nullopt;
}

}  // namespace vitrail
