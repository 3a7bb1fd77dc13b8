// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "preprocess/contract.h"
#include "preprocess/filter.h"
#include "preprocess/region.h"
#include "vitrail/image.h"

namespace vitrail {

// How a picture is scaled. Identical to the bit, for RGB of 8 bits: kPillow to Image.resize of Pillow 13, two passes
// with rounding to 8 bits between them (src/libImaging/Resample.c); kTorch to torchvision.transforms.v2.Resize with
// antialias on uint8 tensors (nearest, bilinear and bicubic; kUsage for others, which it refuses too). For kTorchFloat resize_floats()
// computes what differs: here only nearest is right.
struct Scaling {
  Interpolation interpolation = Interpolation::kBicubic;
  Arithmetic arithmetic = Arithmetic::kPillow;
};

// `image` scaled to width × height, antialiased. kUsage for an empty or too large result.
Result<Image> resize(const Image& image, int width, int height, const Scaling& scaling);

// The part `region` of a picture scaled to width × height, computing nothing else; width and height may reach
// kMaxScaledSide. Of the picture, `image` holds what source_region() asks for or more, from `place` on.
inline constexpr int64_t kMaxScaledSide = 1 << 24;
Result<Image> resize_region(const Image& image, const Place& place, int64_t width, int64_t height,
                            const Scaling& scaling, const Region& region);

// The pixels of a source_width × source_height picture that resize_region() reads. kUsage as there.
Result<Region> source_region(int source_width, int source_height, int64_t width, int64_t height,
                             const Scaling& scaling, const Region& region);

// kUsage when a resize is impossible, or `image` holds less than source_region() asks for.
Status check_source(const Image& image, const Place& place, int64_t width, int64_t height, const Scaling& scaling,
                    const Region& region);

// The part `region` of the image. kUsage when it does not lie inside.
Result<Image> crop(const Image& image, const Region& region);

}  // namespace vitrail
