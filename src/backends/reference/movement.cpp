// SPDX-License-Identifier: Apache-2.0
// Operators that move elements of any type; each is a rule for copy_by_offsets().
#include <algorithm>
#include <cstring>

#include "backends/reference/copy.h"
#include "backends/reference/shapes.h"

namespace vitrail::reference {
namespace {

// Where a slice of one axis begins, its step and how many elements it has. Bounds are clamped as NumPy does.
struct Cut {
  int64_t start = 0, step = 1, count = 0;
};

Cut cut_axis(int64_t extent, int64_t start, int64_t end, int64_t step) {
  auto bound = [&](int64_t v, int64_t low, int64_t high) {
    return std::clamp(v < 0 ? v + extent : v, low, high);
  };
  if (step > 0) {
    start = bound(start, 0, extent), end = bound(end, 0, extent);
    return {start, step, end > start ? (end - start - 1) / step + 1 : 0};
  }
  // -INT64_MIN has no positive twin; any step beyond the extent takes one element.
  step = std::max(step, -extent - 1);
  start = bound(start, -1, extent - 1), end = bound(end, -1, extent - 1);
  return {start, step, start > end ? (start - end - 1) / -step + 1 : 0};
}

Result<Tensor> cut(const Call& call, const Tensor& x, const std::vector<Cut>& cuts) {
  const Shape strides = strides_of(x.shape());
  Shape shape;
  for (const Cut& c : cuts) shape.push_back(c.count);
  return copy_by_offsets(call, x, shape, [&](size_t axis, int64_t i) {
    return (cuts[axis].start + i * cuts[axis].step) * strides[axis];
  });
}

std::vector<Cut> whole(const Shape& shape) {
  std::vector<Cut> cuts;
  for (int64_t d : shape) cuts.push_back({0, 1, d});
  return cuts;
}

// Splits the channels of `shape` = [N,C,H,W] into a block and the rest, and reads the axes in another order.
Result<Tensor> permuted_view(const Call& call, const Shape& view, const std::vector<size_t>& order,
                             const Shape& out) {
  const Tensor& x = call.input(0);
  const Shape strides = strides_of(view);
  Shape shape;
  for (size_t axis : order) shape.push_back(view[axis]);
  VTL_ASSIGN(Tensor y, copy_by_offsets(call, x, shape,
                                       [&](size_t axis, int64_t i) { return i * strides[order[axis]]; }));
  return y.reshaped(out);
}

}  // namespace

Result<Tensor> concat(const Call& call) {
  const Tensor& first = call.input(0);
  if (!call.node.has("axis")) return call.error("has no axis attribute");
  VTL_ASSIGN(const size_t axis, normalize_axis(call, call.node.integer("axis", 0), first.rank()));
  Shape shape = first.shape();
  shape[axis] = 0;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const Tensor* t = call.optional(i);
    if (!t) return call.error("input {} is absent", i);
    bool fits = t->dtype() == first.dtype() && t->rank() == first.rank();
    for (size_t d = 0; fits && d < shape.size(); ++d) fits = d == axis || t->dim(d) == shape[d];
    if (!fits)
      return call.error("input {} is {} {}, which does not join {} {} along axis {}", i,
                        dtype_name(t->dtype()), to_string(t->shape()), dtype_name(first.dtype()),
                        to_string(first.shape()), axis);
    shape[axis] += t->dim(axis);
  }
  VTL_ASSIGN(Tensor y, make_output(call, first.dtype(), shape));
  const AxisSplit s = split_at(shape, axis);
  const size_t inner = static_cast<size_t>(s.inner) * dtype_size(first.dtype());
  auto* out = static_cast<char*>(y.mutable_data());
  for (int64_t o = 0; o < s.outer; ++o)
    for (const Tensor* t : call.inputs) {
      const size_t bytes = static_cast<size_t>(t->dim(axis)) * inner;
      if (bytes)
        std::memcpy(out, static_cast<const char*>(t->data()) + static_cast<size_t>(o) * bytes, bytes);
      out += bytes;
    }
  return y;
}

Result<Tensors> split(const Call& call) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(const size_t axis, normalize_axis(call, call.node.integer("axis", 0), x.rank()));
  const int64_t extent = x.dim(axis);
  std::vector<int64_t> sizes;
  if (const Tensor* given = call.optional(1)) {
    VTL_ASSIGN(sizes, read_integers(call, *given));
  } else {
    // Equal parts; when they do not come out even the last one is smaller.
    const int64_t parts = call.node.integer("num_outputs", static_cast<int64_t>(call.node.outputs.size()));
    if (parts < 1 || parts > std::max<int64_t>(extent, 1))
      return call.error("cannot split {} into {} parts", extent, parts);
    const int64_t each = (extent + parts - 1) / parts;
    for (int64_t i = 0, left = extent; i < parts; ++i, left -= sizes.back())
      sizes.push_back(std::min(each, left));
  }
  int64_t sum = 0;
  for (int64_t s : sizes)
    if (s < 0 || s > extent - sum)
      return call.error("parts {} do not fit axis {} of {}", sizes, axis, to_string(x.shape()));
    else
      sum += s;
  if (sum != extent)
    return call.error("parts {} do not fill axis {} of {}", sizes, axis, to_string(x.shape()));
  Tensors outputs;
  std::vector<Cut> cuts = whole(x.shape());
  cuts[axis].count = 0;
  for (int64_t s : sizes) {
    cuts[axis] = {cuts[axis].start + cuts[axis].count, 1, s};
    VTL_ASSIGN(Tensor part, cut(call, x, cuts));
    outputs.push_back(std::move(part));
  }
  return outputs;
}

Result<Tensor> slice(const Call& call) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(const std::vector<int64_t> starts, read_integers(call, call.input(1)));
  VTL_ASSIGN(const std::vector<int64_t> ends, read_integers(call, call.input(2)));
  std::vector<int64_t> axes, steps(starts.size(), 1);
  for (size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (const Tensor* given = call.optional(3)) {
    VTL_ASSIGN(axes, read_integers(call, *given));
  }
  if (const Tensor* given = call.optional(4)) {
    VTL_ASSIGN(steps, read_integers(call, *given));
  }
  if (ends.size() != starts.size() || axes.size() != starts.size() || steps.size() != starts.size())
    return call.error("{} starts, {} ends, {} axes and {} steps", starts.size(), ends.size(), axes.size(),
                      steps.size());
  VTL_ASSIGN([[maybe_unused]] const std::vector<bool> marked, mark_axes(call, axes, x.rank()));
  std::vector<Cut> cuts = whole(x.shape());
  for (size_t i = 0; i < axes.size(); ++i) {
    VTL_ASSIGN(const size_t axis, normalize_axis(call, axes[i], x.rank()));
    if (steps[i] == 0) return call.error("the step of axis {} is 0", axis);
    cuts[axis] = cut_axis(x.dim(axis), starts[i], ends[i], steps[i]);
  }
  return cut(call, x, cuts);
}

Result<Tensor> gather(const Call& call) {
  const Tensor &x = call.input(0), &indices = call.input(1);
  VTL_ASSIGN(const size_t axis, normalize_axis(call, call.node.integer("axis", 0), x.rank()));
  VTL_ASSIGN(std::vector<int64_t> rows, read_integers(call, indices.reshaped({indices.count()})));
  const AxisSplit s = split_at(x.shape(), axis);
  for (int64_t& row : rows) {
    if (row < -s.extent || row >= s.extent)
      return call.error("index {} is outside axis {} of {}", row, axis, to_string(x.shape()));
    if (row < 0) row += s.extent;
  }
  VTL_ASSIGN(Tensor y,
             copy_by_offsets(call, x, {s.outer, indices.count(), s.inner}, [&](size_t part, int64_t i) {
               if (part == 0) return i * s.extent * s.inner;
               return part == 1 ? rows[static_cast<size_t>(i)] * s.inner : i;
             }));
  Shape shape(x.shape().begin(), x.shape().begin() + static_cast<std::ptrdiff_t>(axis));
  shape.insert(shape.end(), indices.shape().begin(), indices.shape().end());
  shape.insert(shape.end(), x.shape().begin() + static_cast<std::ptrdiff_t>(axis) + 1, x.shape().end());
  return y.reshaped(shape);
}

Result<Tensor> transpose(const Call& call) {
  const Tensor& x = call.input(0);
  std::vector<int64_t> order = call.node.integers("perm");
  if (!call.node.has("perm"))
    for (size_t i = x.rank(); i-- > 0;) order.push_back(static_cast<int64_t>(i));
  if (order.size() != x.rank()) return call.error("perm {} does not fit {}", order, to_string(x.shape()));
  VTL_ASSIGN([[maybe_unused]] const std::vector<bool> marked, mark_axes(call, order, x.rank()));
  const Shape strides = strides_of(x.shape());
  Shape shape;
  for (int64_t& axis : order) {
    if (axis < 0) axis += static_cast<int64_t>(x.rank());
    shape.push_back(x.dim(static_cast<size_t>(axis)));
  }
  return copy_by_offsets(
      call, x, shape, [&](size_t axis, int64_t i) { return i * strides[static_cast<size_t>(order[axis])]; });
}

Result<Tensor> expand(const Call& call) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(const Shape target, read_integers(call, call.input(1)));
  VTL_ASSIGN(const Shape shape, broadcast_shapes(call, x.shape(), target));
  VTL_ASSIGN(const Shape strides, broadcast_strides(call, x.shape(), shape));
  return copy_by_offsets(call, x, shape, [&](size_t axis, int64_t i) { return i * strides[axis]; });
}

Result<Tensor> tile(const Call& call) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(const std::vector<int64_t> repeats, read_integers(call, call.input(1)));
  if (repeats.size() != x.rank())
    return call.error("{} repeats for {}", repeats.size(), to_string(x.shape()));
  const Shape strides = strides_of(x.shape());
  Shape shape = x.shape();
  for (size_t i = 0; i < shape.size(); ++i)
    if (repeats[i] < 0 || __builtin_mul_overflow(shape[i], repeats[i], &shape[i]))
      return call.error("cannot repeat axis {} of {} {} times", i, to_string(x.shape()), repeats[i]);
  return copy_by_offsets(call, x, shape,
                         [&](size_t axis, int64_t i) { return i % x.dim(axis) * strides[axis]; });
}

// DepthToSpace and SpaceToDepth
Result<Tensor> depth_space(const Call& call) {
  const Tensor& x = call.input(0);
  const int64_t b = call.node.integer("blocksize", 0);
  const std::string mode = call.node.text("mode", "DCR");
  if (x.rank() != 4) return call.error("needs [N,C,H,W], got {}", to_string(x.shape()));
  if (mode != "DCR" && mode != "CRD") return call.error("mode '{}' is not DCR or CRD", mode);
  const int64_t n = x.dim(0), c = x.dim(1), h = x.dim(2), w = x.dim(3);
  const bool to_space = call.node.op == Op::DepthToSpace;
  const bool fits = b >= 1 && b <= INT16_MAX && (to_space ? c % (b * b) == 0 : h % b == 0 && w % b == 0);
  if (!fits) return call.error("blocksize {} does not divide {}", b, to_string(x.shape()));
  if (!to_space) {
    const std::vector<size_t> order =
        mode == "DCR" ? std::vector<size_t>{0, 3, 5, 1, 2, 4} : std::vector<size_t>{0, 1, 3, 5, 2, 4};
    return permuted_view(call, {n, c, h / b, b, w / b, b}, order, {n, c * b * b, h / b, w / b});
  }
  const Shape out{n, c / (b * b), h * b, w * b};
  if (mode == "DCR") return permuted_view(call, {n, b, b, c / (b * b), h, w}, {0, 3, 4, 1, 5, 2}, out);
  return permuted_view(call, {n, c / (b * b), b, b, h, w}, {0, 1, 4, 2, 5, 3}, out);
}

}  // namespace vitrail::reference
