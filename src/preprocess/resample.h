// SPDX-License-Identifier: Apache-2.0
// The two passes of a resize, for each instruction set; all give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "preprocess/filter.h"

namespace vitrail::resample {

struct Kernels {
  std::string_view isa;  // "scalar", "avx2", "avx512"
  // Each of `rows` lines of 8-bit RGB, `stride` bytes apart, becomes a line of `count` pixels, one after the other in
  // `out`. Up to kSlack bytes behind the last pixel of a line that is used are read.
  void (*horizontal)(const uint8_t* in, size_t stride, int rows, const Taps::View& taps, uint8_t* out);
  // One line of `bytes` bytes: the sum of a window's lines, of which `in` is the first.
  void (*vertical)(const uint8_t* in, size_t stride, const Taps::View& taps, const Taps::Window& window, size_t bytes,
                   uint8_t* out);
};
inline constexpr size_t kSlack = 16;

// Worst to best, those that this processor can run.
std::span<const Kernels* const> available();

// Runs kernels, by default the best ones, on whole pictures. `in` must end behind the last line that is used.
struct Resampler {
  const Kernels& kernels = *available().back();

  void horizontal(std::span<const uint8_t> in, size_t stride, int rows, const Taps& taps, uint8_t* out) const;
  void vertical(const uint8_t* in, size_t stride, const Taps& taps, const Taps::Window& window, size_t bytes,
                uint8_t* out) const;
};

extern const Kernels kScalar;
// nullptr where the compiler does not know the instructions.
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();

}  // namespace vitrail::resample
