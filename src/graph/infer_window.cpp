// SPDX-License-Identifier: Apache-2.0
// Operators that slide a window over the spatial axes: convolutions and pools.
#include <algorithm>

#include "graph/infer_context.h"

namespace vitrail::infer {
namespace {

enum class AutoPad { kNotSet, kValid, kSame };

// The window's attributes, one entry for each spatial axis, checked and with ONNX's defaults filled in.
struct Window {
  std::vector<int64_t> kernel, strides, dilations, pads;  // pads: all begins, then all ends
  AutoPad auto_pad = AutoPad::kNotSet;

  size_t rank() const { return kernel.size(); }
  int64_t reach(size_t i) const { return dilations[i] * (kernel[i] - 1) + 1; }
  int64_t padding(size_t i) const { return auto_pad == AutoPad::kNotSet ? pads[i] + pads[i + rank()] : 0; }
};

Result<std::vector<int64_t>> list(Context& c, std::string_view name, size_t count, int64_t fallback,
                                  int64_t least) {
  auto values = c.node().integers(name);
  if (values.empty()) values.assign(count, fallback);
  if (values.size() != count) return c.error("{} has {} entries; it needs {}", name, values.size(), count);
  for (int64_t v : values)
    if (v < least || v > kMaxWindow) return c.error("{} cannot contain {}", name, v);
  return values;
}

Result<Window> read_window(Context& c, std::vector<int64_t> kernel) {
  Window w;
  const size_t rank = kernel.size();
  for (int64_t k : kernel)
    if (k < 1 || k > kMaxWindow) return c.error("a kernel extent cannot be {}", k);
  w.kernel = std::move(kernel);
  VTL_ASSIGN(w.strides, list(c, "strides", rank, 1, 1));
  VTL_ASSIGN(w.dilations, list(c, "dilations", rank, 1, 1));
  VTL_ASSIGN(w.pads, list(c, "pads", 2 * rank, 0, 0));
  const std::string mode = c.node().text("auto_pad", "NOTSET");
  if (mode == "VALID")
    w.auto_pad = AutoPad::kValid;
  else if (mode == "SAME_UPPER" || mode == "SAME_LOWER")
    w.auto_pad = AutoPad::kSame;
  else if (mode != "NOTSET")
    return c.error("auto_pad cannot be '{}'", mode);
  return w;
}

// The kernel of a convolution: from its weights, which kernel_shape must agree with.
Result<Window> conv_window(Context& c, const SymShape& x, const SymShape& weights) {
  if (x.size() < 3 || weights.size() != x.size())
    return c.error("its input needs a batch, channels and spatial axes, its weights as many axes");
  if (!is_fixed(weights)) return c.error("its weights must not depend on the batch");
  std::vector<int64_t> kernel;
  for (size_t i = 2; i < weights.size(); ++i) kernel.push_back(weights[i].fixed);
  const auto named = c.node().integers("kernel_shape");
  if (!named.empty() && named != kernel)
    return c.error("kernel_shape {} is not that of its weights", to_string(Shape(named)));
  return read_window(c, std::move(kernel));
}

// How many places a window has along spatial axis i of this extent.
Result<Dim> places(Context& c, const Window& w, size_t i, Dim extent, bool ceil_mode) {
  const int64_t stride = w.strides[i];
  if (w.auto_pad == AutoPad::kSame) {
    const auto d = floor_divide(extent + Dim::of(stride - 1), stride);
    return d ? Result<Dim>(*d)
             : c.error("extent {} with stride {} follows no line in N", to_string(extent), stride);
  }
  const Dim free = extent + Dim::of(w.padding(i) - w.reach(i));
  if (free.at(1) < 0)
    return c.error(
        "the window along spatial axis {} reaches over {} elements, but there are {} with {} of padding", i,
        w.reach(i), to_string(extent), w.padding(i));
  auto steps = floor_divide(ceil_mode ? free + Dim::of(stride - 1) : free, stride);
  if (!steps) return c.error("extent {} with stride {} follows no line in N", to_string(extent), stride);
  // A last window that would start in the end padding is left out, as in PyTorch and since opset 19.
  const int64_t begin = w.auto_pad == AutoPad::kNotSet ? w.pads[i] : 0;
  if (ceil_mode && extent.is_fixed() && steps->fixed * stride >= extent.fixed + begin) --steps->fixed;
  return *steps + Dim::of(1);
}

Result<int64_t> groups(Context& c) {
  const int64_t group = c.node().integer("group", 1);
  if (group < 1 || group > kMaxElements) return c.error("group cannot be {}", group);
  return group;
}

Status check_bias(Context& c, Dim channels) {
  if (!c.shape(2) || *c.shape(2) == SymShape{channels}) return {};
  return c.error("its bias must have the shape [{}]", to_string(channels));
}

}  // namespace

Status conv(Context& c) {
  if (!c.shape(0) || !c.shape(1)) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape &x = *c.shape(0), &weights = *c.shape(1);
  VTL_ASSIGN(const Window w, conv_window(c, x, weights));
  VTL_ASSIGN(const int64_t group, groups(c));
  if (x[1] != multiply(weights[1], Dim::of(group)) || weights[0].fixed % group != 0)
    return c.error("{} input channels in {} groups do not fit the weights", to_string(x[1]), group);
  VTL_TRY(check_bias(c, weights[0]));
  SymShape out{x[0], weights[0]};
  for (size_t i = 0; i < w.rank(); ++i) {
    VTL_ASSIGN(const Dim d, places(c, w, i, x[i + 2], false));
    out.push_back(d);
  }
  return c.set(0, c.dtype(0), std::move(out));
}

Status conv_transpose(Context& c) {
  if (!c.shape(0) || !c.shape(1)) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape &x = *c.shape(0), &weights = *c.shape(1);
  VTL_ASSIGN(const Window w, conv_window(c, x, weights));
  VTL_ASSIGN(const int64_t group, groups(c));
  VTL_ASSIGN(const auto extra, list(c, "output_padding", w.rank(), 0, 0));
  auto wanted = c.node().integers("output_shape");
  if (wanted.size() == x.size())
    wanted.erase(wanted.begin(), wanted.begin() + 2);  // some writers name all axes
  if (!wanted.empty() && wanted.size() != w.rank())
    return c.error("output_shape has {} entries; it needs {}", wanted.size(), w.rank());
  const auto channels = multiply(weights[1], Dim::of(group));
  if (x[1] != weights[0] || weights[0].fixed % group != 0 || !channels)
    return c.error("{} input channels in {} groups do not fit the weights", to_string(x[1]), group);
  VTL_TRY(check_bias(c, *channels));
  SymShape out{x[0], *channels};
  for (size_t i = 0; i < w.rank(); ++i) {
    const auto scaled = multiply(x[i + 2], Dim::of(w.strides[i]));
    if (!scaled) return c.error("extent {} with stride {} overflows", to_string(x[i + 2]), w.strides[i]);
    const int64_t rest = extra[i] + w.reach(i) - w.strides[i] - w.padding(i);
    if (!wanted.empty())
      out.push_back(Dim::of(wanted[i]));
    else
      out.push_back(w.auto_pad == AutoPad::kSame ? *scaled : *scaled + Dim::of(rest));
  }
  return c.set(0, c.dtype(0), std::move(out));
}

Status pool(Context& c) {
  if (!c.shape(0)) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape& x = *c.shape(0);
  VTL_ASSIGN(const Window w, read_window(c, c.node().integers("kernel_shape")));
  if (w.rank() == 0 || x.size() != w.rank() + 2)
    return c.error("kernel_shape has {} entries for an input with {} axes", w.rank(), x.size());
  SymShape out{x[0], x[1]};
  for (size_t i = 0; i < w.rank(); ++i) {
    VTL_ASSIGN(const Dim d, places(c, w, i, x[i + 2], c.node().integer("ceil_mode", 0) != 0));
    out.push_back(d);
  }
  return c.set(0, c.dtype(0), std::move(out));
}

Status global_average_pool(Context& c) {
  if (!c.shape(0)) return c.set(0, c.dtype(0), std::nullopt);
  SymShape out = *c.shape(0);
  if (out.size() < 3) return c.error("its input needs a batch, channels and spatial axes");
  std::fill(out.begin() + 2, out.end(), Dim::of(1));
  return c.set(0, c.dtype(0), std::move(out));
}

}  // namespace vitrail::infer
