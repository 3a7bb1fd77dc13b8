// SPDX-License-Identifier: Apache-2.0
// Operators that only move elements. Shapes come from Vitrail's inference, so that none is computed on the
// GPU.
#include <algorithm>
#include <numeric>

#include "backends/tensorrt/module/layers.h"

namespace vitrail::tensorrt {
namespace {

size_t axis_of(const Node& node, int64_t fallback, size_t rank) {
  const int64_t axis = node.integer("axis", fallback);
  return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
}

// Input i as numbers that do not depend on the batch; nothing where it is absent or not known.
std::optional<std::vector<int64_t>> numbers(Network& n, size_t i) {
  if (!n.has(i) || !n.input_value(i).integers) return std::nullopt;
  std::vector<int64_t> v;
  for (const Dim& d : *n.input_value(i).integers) {
    if (!d.is_fixed()) return std::nullopt;
    v.push_back(d.fixed);
  }
  return v;
}

}  // namespace

void emit_concat(Network& n) {
  std::vector<nv::ITensor*> parts;
  for (size_t i = 0; i < n.node().inputs.size(); ++i) parts.push_back(n.in(i));
  n.set(0, n.concat(parts, static_cast<int>(axis_of(n.node(), 0, n.output_shape().size()))));
}

void emit_reshape(Network& n) { n.set(0, n.reshape(n.in(0), n.output_shape())); }

void emit_transpose(Network& n) {
  std::vector<int64_t> order = n.node().integers("perm");
  if (order.empty()) {
    order.resize(n.input_shape(0).size());
    std::iota(order.rbegin(), order.rend(), 0);
  }
  n.set(0, n.transpose(n.in(0), order));
}

void emit_slice(Network& n) {
  const SymShape& shape = n.input_shape(0);
  const auto starts = numbers(n, 1), steps = numbers(n, 4);
  auto axes = numbers(n, 3);
  if (!starts || (n.has(4) && !steps)) return void(n.refuse("where it starts depends on the data"));
  if (!axes) {
    axes.emplace(starts->size());
    std::iota(axes->begin(), axes->end(), 0);
  }
  Shape start(shape.size(), 0), stride(shape.size(), 1);
  for (size_t i = 0; i < axes->size(); ++i) {
    const auto a =
        static_cast<size_t>((*axes)[i] < 0 ? (*axes)[i] + static_cast<int64_t>(shape.size()) : (*axes)[i]);
    if (a >= shape.size()) return;
    stride[a] = steps ? (*steps)[i] : 1;
    int64_t at = (*starts)[i];
    if (!shape[a].is_fixed()) {
      if (at != 0 || stride[a] < 0) return void(n.refuse("it cuts along the batch"));
      continue;
    }
    if (at < 0) at += shape[a].fixed;
    start[a] = std::clamp<int64_t>(at, 0, stride[a] < 0 ? shape[a].fixed - 1 : shape[a].fixed);
  }
  n.set(0, n.slice(n.in(0), start, n.output_shape(), stride));
}

void emit_split(Network& n) {
  const SymShape& shape = n.input_shape(0);
  const size_t axis = axis_of(n.node(), 0, shape.size());
  const Shape stride(shape.size(), 1);
  Shape start(shape.size(), 0);
  nv::ITensor* x = n.in(0);
  for (size_t i = 0; i < n.node().outputs.size(); ++i) {
    if (n.node().outputs[i] == kNoValue) return void(n.refuse("one of its outputs is left out"));
    n.set(i, n.slice(x, start, n.output_shape(i), stride));
    start[axis] += n.output_shape(i)[axis].fixed;
  }
}

void emit_gather(Network& n) {
  const size_t rank = n.input_shape(0).size(), axis = axis_of(n.node(), 0, rank);
  nv::ITensor* x = n.in(0);
  const auto indices = numbers(n, 1);
  // One row of a fixed axis is a slice, which costs the builder and the GPU less.
  if (indices && indices->size() == 1 && n.input_shape(0)[axis].is_fixed()) {
    Shape start(rank, 0);
    start[axis] = (*indices)[0] < 0 ? (*indices)[0] + n.input_shape(0)[axis].fixed : (*indices)[0];
    SymShape size = n.input_shape(0);
    size[axis] = Dim::of(1);
    return n.set(0, n.reshape(n.slice(x, start, size, Shape(rank, 1)), n.output_shape()));
  }
  nv::ITensor* where = n.in(1);
  if (x && where) n.set(0, n.out(n.raw().addGather(*x, *where, static_cast<int>(axis))));
}

void emit_expand(Network& n) {
  const SymShape& result = n.output_shape();
  nv::ITensor* x = n.in(0, static_cast<int>(result.size()));
  if (!x) return;
  SymShape from = n.input_shape(0);
  while (from.size() < result.size()) from.insert(from.begin(), Dim::of(1));
  Shape stride;
  for (size_t i = 0; i < result.size(); ++i) stride.push_back(from[i] == Dim::of(1) ? 0 : 1);
  n.set(0, n.slice(x, Shape(result.size(), 0), result, stride));
}

}  // namespace vitrail::tensorrt
