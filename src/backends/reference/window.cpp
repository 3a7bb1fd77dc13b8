// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/window.h"

#include <algorithm>

#include "backends/reference/shapes.h"

namespace vitrail::reference {

int64_t Window::offsets(int64_t pixel, int64_t* taps_out) const {
  const int64_t count = taps();
  int64_t reachable = 0;
  for (int64_t t = 0; t < count; ++t) {
    int64_t offset = 0, plane = 1, out = pixel, tap = t;
    bool inside = true, padded = true;
    for (size_t d = input.size(); d-- > 0;) {
      const int64_t at = out % output[d] * stride[d] - begin[d] + tap % kernel[d] * dilation[d];
      out /= output[d];
      tap /= kernel[d];
      inside = inside && at >= 0 && at < input[d];
      padded = padded && at < input[d] + end[d];
      offset += at * plane;
      plane *= input[d];
    }
    taps_out[t] = inside ? offset : -1;
    reachable += padded;
  }
  return reachable;
}

Result<std::vector<int64_t>> offset_table(const Call& call, const Window& window) {
  const int64_t taps = window.taps(), pixels = window.pixels();
  VTL_ASSIGN(const int64_t count, checked_count(call, {pixels, taps}));
  std::vector<int64_t> table(static_cast<size_t>(count));
  for (int64_t p = 0; p < pixels; ++p) window.offsets(p, table.data() + p * taps);
  return table;
}

Result<Window> make_window(const Call& call, const Shape& x, const Shape& kernel) {
  if (x.size() < 3 || x.size() != kernel.size() + 2)
    return call.error("a kernel {} does not fit an input {}", to_string(kernel), to_string(x));
  const size_t rank = kernel.size();
  Window w;
  w.input.assign(x.begin() + 2, x.end());
  w.kernel = kernel;
  for (int64_t k : kernel)
    if (k < 1 || k > INT32_MAX) return call.error("kernel {} must be at least 1", to_string(kernel));
  VTL_ASSIGN(w.stride, read_attribute(call, "strides", rank, 1, 1));
  VTL_ASSIGN(w.dilation, read_attribute(call, "dilations", rank, 1, 1));
  VTL_ASSIGN(const Shape pads, read_attribute(call, "pads", 2 * rank, 0, 0));
  const std::string auto_pad = call.node.text("auto_pad", "NOTSET");
  const bool same = auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER",
             ceil = call.node.integer("ceil_mode", 0) != 0;
  if (!same && auto_pad != "NOTSET" && auto_pad != "VALID")
    return call.error("auto_pad '{}' is not known", auto_pad);
  for (size_t d = 0; d < rank; ++d) {
    const int64_t in = w.input[d], s = w.stride[d], extent = (kernel[d] - 1) * w.dilation[d] + 1;
    int64_t begin = auto_pad == "NOTSET" ? pads[d] : 0, end = auto_pad == "NOTSET" ? pads[rank + d] : 0, out;
    if (same) {
      out = (in + s - 1) / s;
      const int64_t total = std::max<int64_t>((out - 1) * s + extent - in, 0), less = total / 2;
      begin = auto_pad == "SAME_UPPER" ? less : total - less;
      end = total - begin;
    } else {
      const int64_t room = in + begin + end - extent;
      if (room < 0)
        return call.error("a kernel {} with dilations {} is larger than its padded input {}",
                          to_string(kernel), w.dilation, to_string(x));
      out = (ceil ? (room + s - 1) / s : room / s) + 1;
      if (ceil && (out - 1) * s >= in + begin) --out;  // a window must not start beyond the input
    }
    w.begin.push_back(begin), w.end.push_back(end), w.output.push_back(out);
  }
  VTL_ASSIGN([[maybe_unused]] const int64_t taps, checked_count(call, w.kernel));
  VTL_ASSIGN([[maybe_unused]] const int64_t pixels, checked_count(call, w.output));
  return w;
}

}  // namespace vitrail::reference
