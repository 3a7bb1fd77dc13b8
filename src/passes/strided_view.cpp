// SPDX-License-Identifier: Apache-2.0
#include "passes/strided_view.h"

#include <algorithm>
#include <numeric>

namespace vitrail {
namespace {

// A view on its way through a chain: every axis is a list of strided factors, outermost first, so that
// merging axes is always possible and a later split undoes it ([N,H,S,D] → [N·H,S,D] → … → [N,H,D,S], as
// PyTorch 2 exports attention).
struct Factor {
  Dim extent;
  int64_t stride;
};
struct Walk {
  std::vector<std::vector<Factor>> axes;
  int64_t offset = 0;
  double scale = 1;

  // The factor of an axis that has not been merged; null otherwise.
  Factor* whole(size_t axis) { return axes[axis].size() == 1 ? &axes[axis][0] : nullptr; }
};

// The row-major view of a whole value; none when an inner extent depends on the batch.
std::optional<Walk> contiguous(const SymShape& shape) {
  Walk walk;
  walk.axes.resize(shape.size());
  int64_t next = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    walk.axes[i] = {{shape[i], next}};
    if (i > 0 && !shape[i].is_fixed()) return std::nullopt;
    next *= shape[i].fixed;
  }
  return walk;
}

// Hands the factors, in order, to the new axes; one that is too large for an axis is split.
bool reshape(Walk& walk, const SymShape& target) {
  std::vector<Factor> left;  // innermost first
  for (size_t i = walk.axes.size(); i-- > 0;)
    for (size_t k = walk.axes[i].size(); k-- > 0;)
      if (walk.axes[i][k].extent != Dim::of(1)) left.push_back(walk.axes[i][k]);
  std::vector<std::vector<Factor>> axes(target.size());
  for (size_t i = 0; i < target.size(); ++i) {
    Dim wanted = target[i];
    while (wanted != Dim::of(1)) {
      if (left.empty()) return false;
      Factor f = left.back();
      left.pop_back();
      if (const auto rest = divide(wanted, f.extent); rest && multiply(*rest, f.extent) == wanted) {
        wanted = *rest;
      } else {
        const auto inner = divide(f.extent, wanted);
        if (!inner || !inner->is_fixed() || multiply(*inner, wanted) != f.extent) return false;
        left.push_back({*inner, f.stride});
        f = {wanted, f.stride * inner->fixed};
        wanted = Dim::of(1);
      }
      axes[i].push_back(f);
    }
  }
  walk.axes = std::move(axes);
  return left.empty();
}

// The strides of the axes; none when one is merged of factors that do not move as one.
std::optional<StridedView> finish(const Walk& walk, ValueId source) {
  StridedView view;
  view.source = source;
  view.offset = walk.offset;
  view.scale = walk.scale;
  for (const auto& axis : walk.axes) {
    Factor whole{Dim::of(1), 0};
    for (const Factor& f : axis) {
      if (whole.extent == Dim::of(1)) {
        whole = f;
        continue;
      }
      const auto product = multiply(whole.extent, f.extent);
      if (!product || !f.extent.is_fixed() || whole.stride != f.stride * f.extent.fixed) return std::nullopt;
      whole = {*product, f.stride};
    }
    view.shape.push_back(whole.extent);
    view.strides.push_back(whole.stride);
  }
  return view;
}

bool transpose(Walk& walk, const Node& node) {
  const size_t rank = walk.axes.size();
  std::vector<int64_t> perm = node.integers("perm");
  if (perm.empty()) {
    perm.resize(rank);
    std::iota(perm.rbegin(), perm.rend(), 0);
  }
  if (perm.size() != rank) return false;
  const auto old = walk.axes;
  for (size_t i = 0; i < rank; ++i) walk.axes[i] = old[static_cast<size_t>(perm[i])];
  return true;
}

std::optional<size_t> axis_of(int64_t axis, size_t rank) {
  if (axis < 0) axis += static_cast<int64_t>(rank);
  if (axis < 0 || axis >= static_cast<int64_t>(rank)) return std::nullopt;
  return static_cast<size_t>(axis);
}

const std::vector<Dim>* fixed_integers(const Graph& graph, ValueId id, size_t count) {
  if (id == kNoValue || !graph.value(id).integers || graph.value(id).integers->size() != count)
    return nullptr;
  for (Dim d : *graph.value(id).integers)
    if (!d.is_fixed()) return nullptr;
  return &*graph.value(id).integers;
}

bool gather(Walk& walk, const Graph& graph, const Node& node) {
  const auto axis = axis_of(node.integer("axis", 0), walk.axes.size());
  const auto* index = fixed_integers(graph, node.input(1), 1);
  const Factor* factor = axis ? walk.whole(*axis) : nullptr;
  if (!factor || !index || !graph.value(node.input(1)).shape->empty()) return false;
  int64_t i = (*index)[0].fixed;
  if (i < 0) {
    if (!factor->extent.is_fixed()) return false;
    i += factor->extent.fixed;
  }
  walk.offset += i * factor->stride;
  walk.axes.erase(walk.axes.begin() + static_cast<std::ptrdiff_t>(*axis));
  return true;
}

// Output `made` of a Split: the extents of the earlier outputs are the offset.
bool split(Walk& walk, const Graph& graph, const Node& node, ValueId made) {
  const auto axis = axis_of(node.integer("axis", 0), walk.axes.size());
  Factor* factor = axis ? walk.whole(*axis) : nullptr;
  if (!factor) return false;
  int64_t start = 0;
  for (ValueId output : node.outputs) {
    const auto& shape = output == kNoValue ? std::nullopt : graph.value(output).shape;
    if (!shape || !(*shape)[*axis].is_fixed()) return false;
    if (output == made) {
      factor->extent = (*shape)[*axis];
      walk.offset += start * factor->stride;
      return true;
    }
    start += (*shape)[*axis].fixed;
  }
  return false;
}

bool slice(Walk& walk, const Graph& graph, const Node& node) {
  const auto& shape = graph.value(node.outputs[0]).shape;
  const auto* starts = fixed_integers(graph, node.input(1), 1);
  const auto* axes = fixed_integers(graph, node.input(3), 1);
  const auto* steps = fixed_integers(graph, node.input(4), 1);
  if (!shape || !starts || !axes || (node.input(4) != kNoValue && (!steps || (*steps)[0] != Dim::of(1))))
    return false;
  const auto axis = axis_of((*axes)[0].fixed, walk.axes.size());
  Factor* factor = axis ? walk.whole(*axis) : nullptr;
  if (!factor) return false;
  int64_t start = (*starts)[0].fixed;
  if (start < 0) {
    if (!factor->extent.is_fixed()) return false;
    start = std::max<int64_t>(0, start + factor->extent.fixed);
  }
  walk.offset += start * factor->stride;
  factor->extent = (*shape)[*axis];
  return true;
}

bool apply(Walk& walk, const Graph& graph, const Matcher& match, const Node& node, ValueId made) {
  const auto& shape = graph.value(made).shape;
  switch (node.op) {
    case Op::Identity:
      return true;
    case Op::Reshape:
    case Op::Squeeze:
    case Op::Unsqueeze:
    case Op::Flatten:
      return shape && reshape(walk, *shape);
    case Op::Transpose:
      return transpose(walk, node);
    case Op::Gather:
      return gather(walk, graph, node);
    case Op::Split:
      return split(walk, graph, node, made);
    case Op::Slice:
      return slice(walk, graph, node);
    case Op::Mul:
    case Op::Div: {
      const bool first = node.op == Op::Mul && match.scalar(node.input(0)).has_value();
      const auto s = match.scalar(node.input(first ? 0 : 1));
      if (!s || shape != graph.value(node.input(first ? 1 : 0)).shape) return false;
      walk.scale *= node.op == Op::Mul ? *s : 1 / *s;
      return true;
    }
    default:
      return false;
  }
}

// The operand that a view operation looks at; kNoValue when the node is none.
ValueId viewed_operand(const Matcher& match, const Node& node) {
  switch (node.op) {
    case Op::Identity:
    case Op::Reshape:
    case Op::Squeeze:
    case Op::Unsqueeze:
    case Op::Flatten:
    case Op::Transpose:
    case Op::Gather:
    case Op::Split:
    case Op::Slice:
      return node.input(0);
    case Op::Mul:
      return match.scalar(node.input(0))   ? node.input(1)
             : match.scalar(node.input(1)) ? node.input(0)
                                           : kNoValue;
    case Op::Div:
      return match.scalar(node.input(1)) ? node.input(0) : kNoValue;
    default:
      return kNoValue;
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
    if (!graph.value(chain[start]).shape) return std::nullopt;
    auto walk = contiguous(*graph.value(chain[start]).shape);
    for (size_t i = start; i-- > 0 && walk;)
      if (!apply(*walk, graph, match, *match.producer(chain[i]), chain[i])) walk.reset();
    if (auto view = walk ? finish(*walk, chain[start]) : std::nullopt) return view;
  }
  return std::nullopt;
}

}  // namespace vitrail
