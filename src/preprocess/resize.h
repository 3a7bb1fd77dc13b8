// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "preprocess/contract.h"
#include "vitrail/image.h"

namespace vitrail {

// A rectangle of pixels.
struct Region {
  int64_t x = 0, y = 0;
  int width = 0, height = 0;
};

// `image` scaled to width × height, bit-identical to Image.resize of Pillow 13 for RGB: antialiased, weights
// of 22 fractional bits, two passes with rounding to 8 bits between them (src/libImaging/Resample.c). kUsage
// for an empty or too large result.
Result<Image> resize(const Image& image, int width, int height, Interpolation interpolation);

// The part `region` of resize(image, width, height), computing nothing else; width and height may reach
// kMaxScaledSide.
inline constexpr int64_t kMaxScaledSide = 1 << 24;
Result<Image> resize_region(const Image& image, int64_t width, int64_t height, Interpolation interpolation,
                            const Region& region);

// The part `region` of the image. kUsage when it does not lie inside.
Result<Image> crop(const Image& image, const Region& region);

}  // namespace vitrail
