// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vitrail/status.h"

namespace vitrail {

// A picture of 8-bit RGB: `pixels` holds height × width × 3 bytes, rows from the top, no padding.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;
};

// Larger pictures are refused before anything is allocated for them (Pillow's limit against decompression
// bombs).
inline constexpr int64_t kMaxImagePixels = 178'956'970;
inline constexpr int kMaxImageSide = 1'000'000;
inline constexpr size_t kMaxImageFileBytes = size_t{1} << 30;  // an uncompressed picture of kMaxImagePixels fits

// Decodes JPEG, PNG, WebP (of an animation the first frame), BMP (1 to 32 bits, run-length coded as well) and
// netpbm's PBM, PGM and PPM (P1 to P6), told apart by content. The pixels are those of Pillow's
// ImageOps.exif_transpose(Image.open(file)).convert("RGB"): EXIF orientation applied, alpha dropped, palettes, grey and
// CMYK converted, 16-bit colour cut to its high byte, 16-bit grey clipped at 255. Errors (kBadInput): empty, not an
// image, cut off or corrupt, 1×1, more than kMaxImagePixels.
Result<Image> decode_image(std::span<const std::byte> file);

// As decode_image, from a file; every error names the path. kIo when the file cannot be read.
Result<Image> load_image(const std::string& path);

}  // namespace vitrail
