// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "preprocess/contract.h"
#include "preprocess/region.h"
#include "vitrail/image.h"

namespace vitrail {

// RGB side by side.
struct FloatImage {
  int width = 0, height = 0;
  std::vector<float> values;
};

// For each pixel along one axis of the output: which source pixels it sums and with which weights.
struct FloatTaps {
  struct Window {
    int32_t first, count;  // source pixels
    size_t weights;        // where its `count` weights start in `weights`
  };
  std::vector<Window> windows;
  std::vector<float> weights;
  int32_t begin = 0, end = 0;  // source pixels that any window touches
};

// The taps of outputs [first, first + count) when `source` pixels are scaled to `target`, as
// HelperInterpBase::_compute_indices_min_size_weights_aa of PyTorch (aten/src/ATen/native/cpu/UpSampleKernel.cpp). kBilinear and
// kBicubic.
FloatTaps make_float_taps(Interpolation interpolation, int source, int64_t target, int64_t first, int count);

// The part `region` of a picture scaled to width × height, as v2.ToDtype(torch.float32, scale=True) and v2.Resize(antialias=True)
// of torchvision make it on machines with AVX2, to the bit: channels of 0 to 1, and beyond where a bicubic overshoots. Arguments and
// errors are those of resize_region().
Result<FloatImage> resize_floats(const Image& image, const Place& place, int64_t width, int64_t height, Interpolation interpolation,
                                 const Region& region);

}  // namespace vitrail
