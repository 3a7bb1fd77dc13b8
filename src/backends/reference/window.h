// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "backends/reference/kernel.h"

namespace vitrail::reference {

// A window that slides over any number of spatial axes: the geometry of convolutions and pools.
struct Window {
  Shape input, kernel, stride, dilation, begin, end,
      output;  // one entry a spatial axis; begin, end are the padding

  int64_t taps() const { return element_count(kernel); }
  int64_t pixels() const { return element_count(output); }

  // Offsets in the input plane that the taps of one output pixel read, -1 for those in the padding. Returns
  // how many taps lie within the input and its padding (a window that rounds up may reach beyond both).
  int64_t offsets(int64_t pixel, int64_t* taps_out) const;
};

// offsets() of every pixel, one row each: [pixels][taps].
Result<std::vector<int64_t>> offset_table(const Call& call, const Window& window);

// Reads strides, dilations, pads, auto_pad and ceil_mode of a node whose input is [N,C,spatial…].
Result<Window> make_window(const Call& call, const Shape& x, const Shape& kernel);

}  // namespace vitrail::reference
