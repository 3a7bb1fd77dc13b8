// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/shapes.h"

#include <unistd.h>

#include <algorithm>

namespace vitrail::reference {
namespace {

// No output larger than this, nor than the memory of this machine. Every element counts as 8 bytes, since
// kernels keep doubles or offsets beside it. Strides, pads and dilations beyond this are nonsense; below it
// no product with an extent overflows.
constexpr int64_t kMaxAttribute = int64_t{1} << 28;
constexpr int64_t kMaxBytes = int64_t{1} << 36;

int64_t max_elements() {
  static const int64_t limit = [] {
    const int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * int64_t{sysconf(_SC_PAGE_SIZE)};
    return (memory > 0 ? std::min(memory, kMaxBytes) : kMaxBytes) / 8;
  }();
  return limit;
}

}  // namespace

Result<int64_t> checked_count(const Call& call, const Shape& shape) {
  int64_t count = 1;
  for (int64_t d : shape)
    if (d < 0) return call.error("the shape {} has a negative extent", to_string(shape));
  // An empty tensor must have sane strides too, so that extents of 0 count as 1 here.
  for (int64_t d : shape)
    if (__builtin_mul_overflow(count, std::max<int64_t>(d, 1), &count) || count > max_elements())
      return resource_error(
          "layer '{}' ({}): a tensor of shape {} is too large; at most {} elements fit here", call.node.name,
          op_name(call.node.op), to_string(shape), max_elements());
  return std::find(shape.begin(), shape.end(), 0) == shape.end() ? count : 0;
}

Result<Tensor> make_output(const Call& call, DType dtype, const Shape& shape) {
  VTL_ASSIGN([[maybe_unused]] const int64_t count, checked_count(call, shape));
  return Tensor(dtype, shape);
}

Result<size_t> normalize_axis(const Call& call, int64_t axis, size_t rank) {
  const auto r = static_cast<int64_t>(rank);
  if (axis < -r || axis >= r) return call.error("axis {} is outside [-{}, {})", axis, r, r);
  return static_cast<size_t>(axis < 0 ? axis + r : axis);
}

Result<std::vector<bool>> mark_axes(const Call& call, const std::vector<int64_t>& axes, size_t rank) {
  std::vector<bool> marked(rank, false);
  for (int64_t a : axes) {
    VTL_ASSIGN(const size_t axis, normalize_axis(call, a, rank));
    if (marked[axis]) return call.error("axis {} is given twice", axis);
    marked[axis] = true;
  }
  return marked;
}

Result<std::vector<int64_t>> read_integers(const Call& call, const Tensor& tensor) {
  if (tensor.rank() > 1)
    return call.error("expected a list of integers, got shape {}", to_string(tensor.shape()));
  std::vector<int64_t> values;
  if (tensor.dtype() == DType::kI64)
    for (int64_t v : tensor.as<int64_t>()) values.push_back(v);
  else if (tensor.dtype() == DType::kI32)
    for (int32_t v : tensor.as<int32_t>()) values.push_back(v);
  else
    return call.error("expected int64 or int32 indices, got {}", dtype_name(tensor.dtype()));
  return values;
}

Result<std::vector<int64_t>> read_attribute(const Call& call, std::string_view name, size_t count,
                                            int64_t fallback, int64_t least) {
  if (!call.node.has(name)) return std::vector<int64_t>(count, fallback);
  std::vector<int64_t> values = call.node.integers(name);
  if (values.size() != count)
    return call.error("attribute {} has {} values, needs {}", name, values.size(), count);
  for (int64_t v : values)
    if (v < least || v > kMaxAttribute)
      return call.error("attribute {} = {} is not within {} and {}", name, v, least, kMaxAttribute);
  return values;
}

Shape strides_of(const Shape& shape) {
  Shape strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

Result<Shape> broadcast_strides(const Call& call, const Shape& from, const Shape& to) {
  const Shape own = strides_of(from);
  Shape strides(to.size(), 0);
  bool fits = from.size() <= to.size();
  for (size_t i = 0; fits && i < from.size(); ++i) {
    const size_t axis = to.size() - from.size() + i;
    if (from[i] == to[axis] && from[i] != 1) strides[axis] = own[i];
    fits = from[i] == 1 || from[i] == to[axis];
  }
  if (!fits) return call.error("shape {} does not broadcast to {}", to_string(from), to_string(to));
  return strides;
}

Result<Shape> broadcast_shapes(const Call& call, const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t da = i < a.size() ? a[a.size() - 1 - i] : 1, db = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (da != db && da != 1 && db != 1)
      return call.error("shapes {} and {} do not broadcast together", to_string(a), to_string(b));
    out[out.size() - 1 - i] = da == 1 ? db : da;
  }
  return out;
}

AxisSplit split_at(const Shape& shape, size_t axis) {
  AxisSplit s;
  s.extent = shape[axis];
  for (size_t i = 0; i < axis; ++i) s.outer *= shape[i];
  for (size_t i = axis + 1; i < shape.size(); ++i) s.inner *= shape[i];
  return s;
}

}  // namespace vitrail::reference
