// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "preprocess/contract.h"

namespace vitrail {

// Fixed-point bits of a weight: 8 bits of result and 2 of overflow (negative lobes) leave these of an int32.
inline constexpr int kWeightBits = 32 - 8 - 2;

// For each pixel along one axis of the output: which source pixels it sums and with which weights.
struct Taps {
  struct Window {
    int32_t first;   // source pixel
    int32_t count;   // source pixels
    size_t weights;  // where its `count` weights start in `weights`
  };
  std::vector<Window> windows;
  std::vector<int32_t> weights;
  int32_t begin = 0, end = 0;  // source pixels that any window touches
};

// The taps of outputs [first, first + count) when `source` pixels are scaled to `target`; as
// precompute_coeffs and normalize_coeffs_8bpc of Pillow. Not for kNearest.
Taps make_taps(Interpolation interpolation, int source, int64_t target, int64_t first, int count);

}  // namespace vitrail
