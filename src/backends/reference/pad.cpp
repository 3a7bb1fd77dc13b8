// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/copy.h"
#include "backends/reference/shapes.h"

namespace vitrail::reference {
namespace {

// Where index i of an axis (negative or beyond the end in the padding) reads in an axis of n elements.
int64_t padded_index(const std::string& mode, int64_t i, int64_t n) {
  if (i >= 0 && i < n) return i;
  if (mode == "edge") return i < 0 ? 0 : n - 1;
  if (mode == "wrap") return (i % n + n) % n;
  if (mode == "reflect") {
    if (n == 1) return 0;
    const int64_t period = 2 * (n - 1), at = (i % period + period) % period;
    return at < n ? at : period - at;
  }
  return kFill;
}

}  // namespace

Result<Tensor> pad(const Call& call) {
  const Tensor& x = call.input(0);
  const std::string mode = call.node.text("mode", "constant");
  if (mode != "constant" && mode != "edge" && mode != "wrap" && mode != "reflect")
    return call.error("mode '{}' is not constant, edge, reflect or wrap", mode);
  VTL_ASSIGN(const std::vector<int64_t> pads, read_integers(call, call.input(1)));
  std::vector<int64_t> axes;
  for (size_t i = 0; i < x.rank(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (const Tensor* given = call.optional(3)) {
    VTL_ASSIGN(axes, read_integers(call, *given));
  }
  VTL_ASSIGN([[maybe_unused]] const std::vector<bool> marked, mark_axes(call, axes, x.rank()));
  if (pads.size() != 2 * axes.size()) return call.error("{} pads for {} axes", pads.size(), axes.size());
  const Tensor* fill = call.optional(2);
  if (fill && fill->count() == 0) fill = nullptr;
  if (fill && (fill->dtype() != x.dtype() || fill->count() != 1))
    return call.error("the constant must be one {}, got {} {}", dtype_name(x.dtype()),
                      dtype_name(fill->dtype()), to_string(fill->shape()));

  Shape begin(x.rank(), 0), shape = x.shape();
  for (size_t i = 0; i < axes.size(); ++i) {
    VTL_ASSIGN(const size_t axis, normalize_axis(call, axes[i], x.rank()));
    const int64_t before = pads[i], after = pads[i + axes.size()];
    if (std::max(std::abs(before / 2), std::abs(after / 2)) > INT32_MAX)
      return call.error("pads {} and {} of axis {} are absurd", before, after, axis);
    begin[axis] = before;
    shape[axis] += before + after;
    if (x.dim(axis) == 0 && shape[axis] > 0 && mode != "constant")
      return call.error("axis {} of {} is empty and has nothing to repeat", axis, to_string(x.shape()));
  }
  const Shape strides = strides_of(x.shape());
  return copy_by_offsets(
      call, x, shape,
      [&](size_t axis, int64_t i) {
        const int64_t from = padded_index(mode, i - begin[axis], x.dim(axis));
        return from == kFill ? kFill : from * strides[axis];
      },
      fill ? fill->data() : nullptr);
}

}  // namespace vitrail::reference
