// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "backends/reference/copy.h"
#include "backends/reference/resize_axis.h"
#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {
namespace {

// scales and roi may be float32 or float64, also empty or absent.
Result<std::vector<double>> read_reals(const Call& call, size_t index, size_t count) {
  std::vector<double> values;
  const Tensor* t = call.optional(index);
  if (!t || t->count() == 0) return values;
  if (t->count() != static_cast<int64_t>(count))
    return call.error("input {} has {} values, needs {}", index, t->count(), count);
  if (t->dtype() == DType::kF32)
    values.assign(t->as<float>().begin(), t->as<float>().end());
  else if (t->dtype() == DType::kF64)
    values.assign(t->as<double>().begin(), t->as<double>().end());
  else
    return call.error("input {} is {}, not a float type", index, dtype_name(t->dtype()));
  return values;
}

// One entry for each axis of x; axes that are not resized keep scale 1.
Result<std::vector<ResizeAxis>> read_axes(const Call& call) {
  const Tensor& x = call.input(0);
  const Node& node = call.node;
  std::vector<int64_t> axes = node.integers("axes");
  if (!node.has("axes"))
    for (size_t i = 0; i < x.rank(); ++i) axes.push_back(static_cast<int64_t>(i));
  VTL_ASSIGN([[maybe_unused]] const std::vector<bool> marked, mark_axes(call, axes, x.rank()));
  VTL_ASSIGN(const std::vector<double> roi, read_reals(call, 1, 2 * axes.size()));
  VTL_ASSIGN(std::vector<double> scales, read_reals(call, 2, axes.size()));
  std::vector<int64_t> sizes;
  if (const Tensor* given = call.optional(3)) {
    VTL_ASSIGN(sizes, read_integers(call, *given));
  }
  if (scales.empty() == sizes.empty() || (!sizes.empty() && sizes.size() != axes.size()))
    return call.error("needs either scales or sizes, one for each of the {} axes", axes.size());

  ResizeAxis common;
  if (!common.set_mode(node.text("mode", "nearest"),
                       node.text("coordinate_transformation_mode", "half_pixel"),
                       node.text("nearest_mode", "round_prefer_floor")))
    return call.error("mode '{}', coordinate_transformation_mode '{}' or nearest_mode '{}' is not known",
                      node.text("mode", "nearest"), node.text("coordinate_transformation_mode", "half_pixel"),
                      node.text("nearest_mode", "round_prefer_floor"));
  common.cubic = static_cast<double>(node.real("cubic_coeff_a", -0.75f));
  common.antialias = node.integer("antialias", 0) != 0;
  common.exclude_outside = node.integer("exclude_outside", 0) != 0;
  if (common.crops() && roi.empty()) return call.error("tf_crop_and_resize needs a roi");

  std::vector<ResizeAxis> result(x.rank(), common);
  for (size_t i = 0; i < x.rank(); ++i) result[i].in = result[i].out = x.dim(i);
  const std::string policy = node.text("keep_aspect_ratio_policy", "stretch");
  double shared = policy == "not_larger" ? INFINITY : 0;
  if (policy != "stretch" && policy != "not_larger" && policy != "not_smaller")
    return call.error("keep_aspect_ratio_policy '{}' is not known", policy);
  for (size_t i = 0; i < axes.size(); ++i) {
    VTL_ASSIGN(const size_t axis, normalize_axis(call, axes[i], x.rank()));
    ResizeAxis& a = result[axis];
    a.active = true;
    if (!roi.empty()) a.roi_start = roi[i], a.roi_end = roi[i + axes.size()];
    if (!sizes.empty()) {
      a.out = sizes[i];
      if (a.in > 0) a.scale = static_cast<double>(a.out) / static_cast<double>(a.in);
      shared = policy == "not_larger" ? std::min(shared, a.scale) : std::max(shared, a.scale);
    } else {
      a.scale = scales[i];
      if (!(a.scale > 0) || !std::isfinite(a.scale))
        return call.error("the scale of axis {} is {}", axis, a.scale);
      a.out = to_integer<int64_t>(std::floor(static_cast<double>(a.in) * a.scale));
    }
    if (a.in == 0 && a.out > 0) return call.error("axis {} of {} is empty", axis, to_string(x.shape()));
  }
  if (!sizes.empty() && policy != "stretch")
    for (ResizeAxis& a : result)
      if (a.active)
        a.scale = shared, a.out = to_integer<int64_t>(std::floor(shared * static_cast<double>(a.in) + 0.5));
  return result;
}

// The axes are independent, so that they are resized one after the other, in double.
template <class T>
Tensor interpolate(const Tensor& x, const std::vector<ResizeAxis>& axes, double extrapolation, Tensor y) {
  std::vector<double> now(x.as<T>().begin(), x.as<T>().end());
  Shape shape = x.shape();
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (axes[axis].is_identity()) continue;
    const AxisSplit s = split_at(shape, axis);
    const int64_t out = shape[axis] = axes[axis].out;
    std::vector<double> next(static_cast<size_t>(s.outer * out * s.inner));
    for (int64_t i = 0; i < out; ++i) {
      const std::vector<ResizeTap> taps = axes[axis].taps(i);
      for (int64_t o = 0; o < s.outer; ++o) {
        double* to = next.data() + (o * out + i) * s.inner;
        if (taps.empty()) std::fill_n(to, s.inner, extrapolation);
        for (const ResizeTap& tap : taps) {
          const double* from = now.data() + (o * s.extent + tap.index) * s.inner;
          for (int64_t k = 0; k < s.inner; ++k) to[k] += tap.weight * from[k];
        }
      }
    }
    now = std::move(next);
  }
  const auto out = y.as_mutable<T>();
  for (size_t i = 0; i < out.size(); ++i) out[i] = convert<T>(now[i]);
  return y;
}

}  // namespace

Result<Tensor> resize(const Call& call) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(const std::vector<ResizeAxis> axes, read_axes(call));
  Shape shape;
  for (const ResizeAxis& a : axes) shape.push_back(a.out);
  const bool crops = !axes.empty() && axes[0].crops();
  if (!axes.empty() && axes[0].is_nearest() && !crops) {
    const Shape strides = strides_of(x.shape());
    return copy_by_offsets(
        call, x, shape, [&](size_t axis, int64_t i) { return axes[axis].taps(i)[0].index * strides[axis]; });
  }
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), shape));
  // Between two passes every axis may still have its larger extent.
  Shape widest;
  for (const ResizeAxis& a : axes) widest.push_back(std::max(a.in, a.out));
  VTL_ASSIGN([[maybe_unused]] const int64_t count, checked_count(call, widest));
  const double extrapolation = static_cast<double>(call.node.real("extrapolation_value", 0));
  return with_number(call, x.dtype(),
                     [&]<class T>() -> Result<Tensor> { return interpolate<T>(x, axes, extrapolation, y); });
}

}  // namespace vitrail::reference
