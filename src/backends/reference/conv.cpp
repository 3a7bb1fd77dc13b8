// SPDX-License-Identifier: Apache-2.0
// Conv and ConvTranspose over any number of spatial axes, as products with the patches of the input.
#include <cmath>

#include "backends/reference/multiply.h"
#include "backends/reference/shapes.h"
#include "backends/reference/types.h"
#include "backends/reference/window.h"

namespace vitrail::reference {
namespace {

struct Groups {
  int64_t count, in, out;  // groups, input and output channels of each
};

// Weights are [out channels, in / group, kernel…], for the transposed form [in channels, out / group,
// kernel…].
Result<Groups> read_groups(const Call& call, bool transposed) {
  const Tensor &x = call.input(0), &w = call.input(1);
  const Tensor* bias = call.optional(2);
  const int64_t groups = call.node.integer("group", 1);
  if (x.rank() < 3 || w.rank() != x.rank() || groups < 1)
    return call.error("x {}, W {} and group {} do not fit", to_string(x.shape()), to_string(w.shape()),
                      groups);
  const bool fits = transposed
                        ? w.dim(0) == x.dim(1) && w.dim(0) % groups == 0
                        : w.dim(0) % groups == 0 && x.dim(1) % groups == 0 && w.dim(1) == x.dim(1) / groups;
  if (!fits)
    return call.error("x {} and W {} do not fit with {} groups", to_string(x.shape()), to_string(w.shape()),
                      groups);
  const Groups g{groups, x.dim(1) / groups, transposed ? w.dim(1) : w.dim(0) / groups};
  if (w.dtype() != x.dtype() || (bias && bias->dtype() != x.dtype()))
    return call.error("the operands' types differ");
  if (bias && bias->shape() != Shape{g.count * g.out})
    return call.error("bias {} is not [{}]", to_string(bias->shape()), g.count * g.out);
  const Shape kernel(w.shape().begin() + 2, w.shape().end());
  if (call.node.has("kernel_shape") && call.node.integers("kernel_shape") != kernel)
    return call.error("kernel_shape {} is not that of W {}", call.node.integers("kernel_shape"),
                      to_string(w.shape()));
  return g;
}

// The window that the transposed convolution slides over its *output*, so that `input` is the result's plane
// and `output` is x's.
Result<Window> transposed_window(const Call& call, const Shape& x, const Shape& kernel) {
  const size_t rank = kernel.size();
  Window w;
  w.kernel = kernel;
  w.output.assign(x.begin() + 2, x.end());
  VTL_ASSIGN(w.stride, read_attribute(call, "strides", rank, 1, 1));
  VTL_ASSIGN(w.dilation, read_attribute(call, "dilations", rank, 1, 1));
  VTL_ASSIGN(const Shape pads, read_attribute(call, "pads", 2 * rank, 0, 0));
  VTL_ASSIGN(const Shape extra, read_attribute(call, "output_padding", rank, 0, 0));
  VTL_ASSIGN(Shape target, read_attribute(call, "output_shape", rank, 0, 1));
  const std::string auto_pad = call.node.text("auto_pad", "NOTSET");
  const bool same = auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER";
  if (!same && auto_pad != "NOTSET" && auto_pad != "VALID")
    return call.error("auto_pad '{}' is not known", auto_pad);
  for (size_t d = 0; d < rank; ++d) {
    if (kernel[d] < 1 || kernel[d] > INT32_MAX)
      return call.error("kernel {} must be at least 1", to_string(kernel));
    const int64_t in = w.output[d],
                  full = w.stride[d] * (in - 1) + extra[d] + (kernel[d] - 1) * w.dilation[d] + 1;
    int64_t begin = auto_pad == "NOTSET" ? pads[d] : 0, end = auto_pad == "NOTSET" ? pads[rank + d] : 0;
    if (target[d] == 0 && same) target[d] = in * w.stride[d];
    if (target[d] > 0) {
      const int64_t total = std::max<int64_t>(full - target[d], 0), less = total / 2;
      begin = auto_pad == "SAME_UPPER" ? less : total - less;
      end = total - begin;
    }
    const int64_t out = target[d] > 0 ? target[d] : full - begin - end;
    if (in < 1 || out < 1) return call.error("input {} and pads {} leave no output", to_string(x), pads);
    w.begin.push_back(begin), w.end.push_back(end), w.input.push_back(out);
  }
  return w;
}

Shape with_spatial(int64_t n, int64_t channels, const Shape& spatial) {
  Shape shape{n, channels};
  shape.insert(shape.end(), spatial.begin(), spatial.end());
  return shape;
}

}  // namespace

Result<Tensor> conv(const Call& call) {
  const Tensor &x = call.input(0), &weight = call.input(1);
  const Tensor* bias = call.optional(2);
  VTL_ASSIGN(const Groups g, read_groups(call, false));
  VTL_ASSIGN(const Window w,
             make_window(call, x.shape(), Shape(weight.shape().begin() + 2, weight.shape().end())));
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), with_spatial(x.dim(0), g.count * g.out, w.output)));
  const int64_t taps = w.taps(), pixels = w.pixels(), plane = element_count(w.input), depth = g.in * taps;
  VTL_ASSIGN(const std::vector<int64_t> table, offset_table(call, w));
  return with_float(call, x.dtype(), [&]<class T>() -> Result<Tensor> {
    for (int64_t i = 0; i < x.dim(0) * g.count; ++i) {  // image and group
      const int64_t group = i % g.count;
      const T *in = x.as<T>().data() + i * g.in * plane,
              *filters = weight.as<T>().data() + group * g.out * depth;
      const T* shift = bias ? bias->as<T>().data() + group * g.out : nullptr;
      T* out = y.as_mutable<T>().data() + i * g.out * pixels;
      multiply(
          g.out, depth, pixels,
          [&](int64_t row, double* to) { std::copy_n(filters + row * depth, depth, to); },
          [&](int64_t column, int64_t width, double* to) {
            for (int64_t k = 0; k < depth; ++k)
              for (int64_t j = 0; j < width; ++j) {
                const int64_t at = table[static_cast<size_t>((column + j) * taps + k % taps)];
                to[k * kPanel + j] = at < 0 ? 0.0 : static_cast<double>(in[k / taps * plane + at]);
              }
          },
          [&](int64_t row, int64_t column, std::span<const double> sums) {
            for (size_t j = 0; j < sums.size(); ++j)
              out[row * pixels + column + static_cast<int64_t>(j)] =
                  static_cast<T>(shift ? sums[j] + static_cast<double>(shift[row]) : sums[j]);
          },
          call.pool);
    }
    return y;
  });
}

// Every pixel of x adds its value times the kernel to the output: the product Wᵀ · x, scattered.
Result<Tensor> conv_transpose(const Call& call) {
  const Tensor &x = call.input(0), &weight = call.input(1);
  const Tensor* bias = call.optional(2);
  VTL_ASSIGN(const Groups g, read_groups(call, true));
  VTL_ASSIGN(const Window w,
             transposed_window(call, x.shape(), Shape(weight.shape().begin() + 2, weight.shape().end())));
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), with_spatial(x.dim(0), g.count * g.out, w.input)));
  const int64_t taps = w.taps(), pixels = w.pixels(), plane = element_count(w.input), rows = g.out * taps;
  VTL_ASSIGN(const std::vector<int64_t> table, offset_table(call, w));
  return with_float(call, x.dtype(), [&]<class T>() -> Result<Tensor> {
    std::vector<double> sum(static_cast<size_t>(g.out * plane));
    for (int64_t i = 0; i < x.dim(0) * g.count; ++i) {
      const int64_t group = i % g.count;
      const T *in = x.as<T>().data() + i * g.in * pixels,
              *filters = weight.as<T>().data() + group * g.in * rows;
      for (int64_t c = 0; c < g.out; ++c)
        std::fill_n(sum.begin() + c * plane, plane,
                    bias ? static_cast<double>(bias->as<T>()[static_cast<size_t>(group * g.out + c)]) : 0.0);
      // Rows of one channel meet in the same outputs, so that this runs on one thread.
      multiply(
          rows, g.in, pixels,
          [&](int64_t row, double* to) {
            for (int64_t c = 0; c < g.in; ++c) to[c] = static_cast<double>(filters[c * rows + row]);
          },
          [&](int64_t column, int64_t width, double* to) {
            for (int64_t c = 0; c < g.in; ++c) std::copy_n(in + c * pixels + column, width, to + c * kPanel);
          },
          [&](int64_t row, int64_t column, std::span<const double> sums) {
            for (size_t j = 0; j < sums.size(); ++j) {
              const int64_t at =
                  table[static_cast<size_t>((column + static_cast<int64_t>(j)) * taps + row % taps)];
              if (at >= 0) sum[static_cast<size_t>(row / taps * plane + at)] += sums[j];
            }
          },
          nullptr);
      T* out = y.as_mutable<T>().data() + i * g.out * plane;
      std::copy(sum.begin(), sum.end(), out);
    }
    return y;
  });
}

}  // namespace vitrail::reference
