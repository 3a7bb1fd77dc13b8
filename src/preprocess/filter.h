// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "preprocess/contract.h"

namespace vitrail {

// Fractional bits of Pillow's weights: 8 bits of result and 2 of overflow (negative lobes) leave these of an int32.
// PyTorch's weights have 16 bits, and as many fractional ones as the largest weight of the axis allows.
inline constexpr int kWeightBits = 32 - 8 - 2;

// Two weights side by side, each cut into a multiple of 2^kLowBits and a rest that is not negative, so that 16-bit
// multiply-adds sum them up exactly. As the halves of an int32: the first pixel's weight is the lower one.
inline constexpr int kLowBits = 11;
struct WeightPair {
  int32_t high, low;
};

// For each pixel along one axis of the output: which source pixels it sums and with which weights.
struct Taps {
  struct Window {
    int32_t first;   // source pixel
    int32_t count;   // source pixels
    size_t weights;  // where its `count` weights start in `weights`
    size_t pairs;    // where its (count + 1) / 2 pairs start in `pairs`; a last single weight is paired with 0
  };
  std::vector<Window> windows;
  std::vector<int32_t> weights;
  std::vector<WeightPair> pairs;  // empty when a weight does not fit
  int bits = kWeightBits;         // fractional bits of the weights
  int32_t begin = 0, end = 0;     // source pixels that any window touches

  // For code in target regions, where no member of a standard container may be instantiated.
  struct View {
    const Window* windows;
    int count;
    const int32_t* weights;
    const WeightPair* pairs;
    int bits;
  };
  View view() const {
    return {windows.data(), static_cast<int>(windows.size()), weights.data(), pairs.data(), bits};
  }
};

// The taps of outputs [first, first + count) when `source` pixels are scaled to `target`, with antialiasing; as
// precompute_coeffs and normalize_coeffs_8bpc of Pillow, or PyTorch's compute_index_ranges_int16_weights. Not for
// kNearest.
Taps make_taps(Interpolation interpolation, int source, int64_t target, int64_t first, int count,
               Arithmetic arithmetic = Arithmetic::kPillow);

}  // namespace vitrail
