// SPDX-License-Identifier: Apache-2.0
// What the decoders of the single formats share; decode.cpp picks one by content.
#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <span>

#include "preprocess/limit.h"
#include "preprocess/region.h"
#include "vitrail/image.h"

namespace vitrail::codec {

using Bytes = std::span<const std::byte>;

// What is wanted of a picture of width × height; decoders may give more.
struct Wish {
  Region region;
  int shrink = 1;  // 1, 2, 4 or 8: the whole picture at this fraction of its size instead of the region
};
using Wishes = std::function<Result<Wish>(int width, int height)>;

struct Decoded {
  Image pixels;
  Place place;
};

// Decodes any format, told by content, and turns it as its EXIF orientation says. Empty `wishes`: the whole picture.
Result<Decoded> decode(Bytes file, const Wishes& wishes, PixelLimit limit = {});

// Each decodes a file of its format. EXIF orientation is not applied yet: `orientation` receives it (1 to 8); a
// picture that must be turned is decoded in whole.
Result<Decoded> decode_jpeg(Bytes file, const Wishes& wishes, PixelLimit limit, int& orientation);
Result<Image> decode_png(Bytes file, PixelLimit limit, int& orientation);
Result<Image> decode_webp(Bytes file, PixelLimit limit, int& orientation);
Result<Image> decode_bmp(Bytes file, PixelLimit limit);
Result<Image> decode_pnm(Bytes file, PixelLimit limit);
Status cut_off(uint64_t needed, size_t available);

// Zeroed pixels of a plausible size (check_size).
Result<Image> new_image(int64_t width, int64_t height, size_t file_bytes, int64_t max_pixels_per_byte, PixelLimit limit);

// kBadInput for an empty or 1×1 picture and for decompression bombs: more
// than the limit or kMaxImagePixels, or more pixels than `file_bytes` could hold at `max_pixels_per_byte` (0: no such
// bound).
Status check_size(int64_t width, int64_t height, size_t file_bytes, int64_t max_pixels_per_byte, PixelLimit limit);

// The orientation tag of a TIFF block as EXIF carries it, 1 when there is none or the block is damaged.
int exif_orientation(Bytes tiff);

// Where the error handler of a C codec jumps to, and why it did.
struct Escape {
  std::jmp_buf point;
  char message[200] = "";

  void note(const char* text) { std::snprintf(message, sizeof message, "%s", text); }
};

// Runs one step of a C codec; false when its error handler jumped. `step` must own nothing: between setjmp
// and longjmp lie only it and C frames, so no destructor is skipped.
template <class Step>
bool guarded(Escape& escape, Step&& step) {
  if (setjmp(escape.point) != 0) return false;
  step();
  return true;
}

inline const uint8_t* as_u8(Bytes bytes) { return reinterpret_cast<const uint8_t*>(bytes.data()); }

}  // namespace vitrail::codec
