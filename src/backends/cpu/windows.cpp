// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/windows.h"

#include <algorithm>

namespace vitrail::cpu {
namespace {

// Row-major strides; false when an inner product is not affine in the batch.
bool strides_of(const SymShape& shape, std::vector<Dim>& strides) {
  strides.assign(shape.size(), Dim::of(1));
  for (size_t i = shape.size(); i-- > 1;) {
    const auto next = multiply(strides[i], shape[i]);
    if (!next) return false;
    strides[i - 1] = *next;
  }
  return true;
}

const SymShape& shape_of(const Graph& graph, ValueId id) { return *graph.value(id).shape; }

size_t axis_of(const Node& node, size_t rank, int64_t fallback = 0) {
  const int64_t axis = node.integer("axis", fallback);
  return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
}

// Each part of `whole` along the axis, either written (Concat) or read (Split).
std::optional<std::vector<Window>> along_axis(const Graph& graph, const Node& node, ValueId whole,
                                              const std::vector<ValueId>& parts, bool writes_whole) {
  const SymShape& shape = shape_of(graph, whole);
  std::vector<Dim> strides;
  if (!strides_of(shape, strides)) return std::nullopt;
  const size_t axis = axis_of(node, shape.size());
  std::vector<Window> windows;
  Dim start;
  for (ValueId part : parts) {
    if (part == kNoValue) return std::nullopt;
    Window w;
    w.extents = shape_of(graph, part);
    std::vector<Dim> own;
    const auto offset = multiply(start, strides[axis]);
    if (!offset || !strides_of(w.extents, own)) return std::nullopt;
    start = start + w.extents[axis];
    w.from = writes_whole ? part : whole;
    w.to = writes_whole ? whole : part;
    w.from_strides = writes_whole ? own : strides;
    w.to_strides = writes_whole ? strides : own;
    (writes_whole ? w.to_offset : w.from_offset) = *offset;
    windows.push_back(std::move(w));
  }
  return windows;
}

std::optional<Window> transpose_window(const Node& node, Window w, const std::vector<Dim>& source) {
  auto perm = node.integers("perm");
  if (perm.empty())
    for (size_t i = source.size(); i-- > 0;) perm.push_back(static_cast<int64_t>(i));
  for (int64_t p : perm) w.from_strides.push_back(source[static_cast<size_t>(p)]);
  return w;
}

// The index of a Gather that takes one: a constant integer, made non-negative.
std::optional<int64_t> gather_index(const Graph& graph, const Node& node) {
  if (!graph.is_constant(node.input(1)) || !graph.value(node.input(1)).integers) return std::nullopt;
  const auto& list = *graph.value(node.input(1)).integers;
  const SymShape& in = shape_of(graph, node.input(0));
  const Dim length = in[axis_of(node, in.size())];
  if (list.size() != 1) return std::nullopt;
  if (list[0].fixed >= 0) return list[0].fixed;
  return length.is_fixed() ? std::optional(list[0].fixed + length.fixed) : std::nullopt;
}

std::optional<Window> gather_window(const Graph& graph, const Node& node, Window w, std::vector<Dim> source) {
  const auto index = gather_index(graph, node);
  const size_t axis = axis_of(node, source.size());
  const auto offset = index ? multiply(Dim::of(*index), source[axis]) : std::nullopt;
  if (!offset) return std::nullopt;
  w.from_offset = *offset;
  const auto at = source.erase(source.begin() + static_cast<std::ptrdiff_t>(axis));
  // A scalar index drops the axis, a vector of one keeps it with extent 1.
  if (!shape_of(graph, node.input(1)).empty()) source.insert(at, Dim::of(0));
  w.from_strides = std::move(source);
  return w;
}

std::optional<Window> slice_window(const Graph& graph, const Node& node, Window w, std::vector<Dim> source) {
  const auto list = [&](size_t i) -> const std::vector<Dim>* {
    const ValueId id = node.input(i);
    return graph.is_constant(id) && graph.value(id).integers ? &*graph.value(id).integers : nullptr;
  };
  const auto *starts = list(1), *axes = list(3), *steps = list(4);
  const SymShape& in = shape_of(graph, node.input(0));
  if (!starts || (node.input(3) != kNoValue && !axes) || (node.input(4) != kNoValue && !steps))
    return std::nullopt;
  for (size_t i = 0; i < starts->size(); ++i) {
    const int64_t given = axes ? (*axes)[i].fixed : static_cast<int64_t>(i);
    const auto axis = static_cast<size_t>(given < 0 ? given + static_cast<int64_t>(in.size()) : given);
    const int64_t step = steps ? (*steps)[i].fixed : 1;
    const Dim length = in[axis];
    int64_t start = (*starts)[i].fixed;
    if (step < 1 || (start != 0 && !length.is_fixed())) return std::nullopt;
    if (start < 0) start = std::max<int64_t>(0, start + length.fixed);
    const auto offset = multiply(Dim::of(start), source[axis]);
    const auto stride = multiply(Dim::of(step), source[axis]);
    if (!offset || !stride) return std::nullopt;
    w.from_offset = w.from_offset + *offset;
    source[axis] = *stride;
  }
  w.from_strides = std::move(source);
  return w;
}

}  // namespace

std::optional<std::vector<Window>> windows_of(const Graph& graph, const Node& node) {
  if (node.op == Op::Concat) return along_axis(graph, node, node.outputs[0], node.inputs, true);
  if (node.op == Op::Split) return along_axis(graph, node, node.input(0), node.outputs, false);
  Window w;
  std::vector<Dim> source;
  w.from = node.input(0);
  w.to = node.outputs[0];
  w.extents = shape_of(graph, w.to);
  if (!strides_of(w.extents, w.to_strides) || !strides_of(shape_of(graph, w.from), source))
    return std::nullopt;
  std::optional<Window> made;
  switch (node.op) {
    case Op::Transpose:
      made = transpose_window(node, std::move(w), source);
      break;
    case Op::Expand:
      if (auto strides = broadcast_strides(shape_of(graph, w.from), w.extents)) {
        w.from_strides = std::move(*strides);
        made = std::move(w);
      }
      break;
    case Op::Gather:
      made = gather_window(graph, node, std::move(w), source);
      break;
    case Op::Slice:
      made = slice_window(graph, node, std::move(w), source);
      break;
    default:
      break;
  }
  if (!made) return std::nullopt;
  return std::vector<Window>{std::move(*made)};
}

std::optional<std::vector<Dim>> broadcast_strides(const SymShape& from, const SymShape& to) {
  std::vector<Dim> own, strides;
  if (!strides_of(from, own)) return std::nullopt;
  const size_t missing = to.size() - from.size();
  for (size_t i = 0; i < to.size(); ++i)
    strides.push_back(i < missing || from[i - missing] == Dim::of(1) ? Dim::of(0) : own[i - missing]);
  return strides;
}

Loop::Loop(const SymShape& extents, const std::vector<Dim>& from_strides, const std::vector<Dim>& to_strides, int64_t batch) {
  for (size_t i = 0; i < extents.size(); ++i) {
    const Axis a{extents[i].at(batch), from_strides[i].at(batch), to_strides[i].at(batch)};
    if (a.extent == 1) continue;
    Axis* last = rank ? &axes[rank - 1] : nullptr;
    if (last && last->from == a.from * a.extent && last->to == a.to * a.extent)
      *last = {last->extent * a.extent, a.from, a.to};
    else
      axes[rank++] = a;
  }
  if (rank == 0) axes[rank++] = {1, 1, 1};
}

}  // namespace vitrail::cpu
