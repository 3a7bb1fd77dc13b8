// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <new>
#include <string_view>

#include "core/error.h"
#include "core/files.h"
#include "preprocess/codec.h"
#include "vitrail/image.h"

namespace vitrail {
namespace codec {

Result<Image> new_image(int64_t width, int64_t height, size_t file_bytes, int64_t max_pixels_per_byte) {
  if (width < 1 || height < 1) return bad_input("the image is {}x{} pixels: empty", width, height);
  if (width == 1 && height == 1) return bad_input("the image is 1x1 pixel: no picture (a tracking pixel?)");
  if (width > kMaxImageSide || height > kMaxImageSide || width * height > kMaxImagePixels)
    return bad_input(
        "the image claims {}x{} pixels, more than the {} (and {} a side) allowed: scale it down first", width,
        height, kMaxImagePixels, kMaxImageSide);
  if (max_pixels_per_byte > 0 && width * height / max_pixels_per_byte > static_cast<int64_t>(file_bytes))
    return bad_input(
        "the image claims {}x{} pixels but the file has only {} bytes: cut off or a decompression bomb",
        width, height, file_bytes);
  Image image{static_cast<int>(width), static_cast<int>(height), {}};
  image.pixels.resize(static_cast<size_t>(width * height * 3));
  return image;
}

}  // namespace codec

namespace {

// EXIF orientations 1 to 8 as: swap the axes (5 to 8), then mirror. `p` is a picture as stored.
Image oriented(Image p, int orientation) {
  if (orientation == 1) return p;
  const bool swap = orientation >= 5;
  const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  Image out{swap ? p.height : p.width, swap ? p.width : p.height, {}};
  out.pixels.resize(p.pixels.size());
  for (int y = 0; y < out.height; ++y) {
    const int v = mirror_y ? out.height - 1 - y : y;
    for (int x = 0; x < out.width; ++x) {
      const int u = mirror_x ? out.width - 1 - x : x;
      const size_t from = static_cast<size_t>(swap ? u : v) * p.width + (swap ? v : u);
      std::memcpy(&out.pixels[(static_cast<size_t>(y) * out.width + x) * 3], &p.pixels[from * 3], 3);
    }
  }
  return out;
}

Result<Image> decode_by_content(std::span<const std::byte> file) {
  if (file.empty()) return bad_input("the file is empty");
  const std::string_view head(reinterpret_cast<const char*>(file.data()), std::min<size_t>(file.size(), 16));
  int orientation = 1;
  auto finish = [&](Result<Image> decoded) -> Result<Image> {
    if (!decoded.ok()) return decoded;
    return oriented(std::move(decoded).value(), orientation);
  };
  if (head.starts_with("\xff\xd8\xff")) return finish(codec::decode_jpeg(file, orientation));
  if (head.starts_with("\x89PNG\r\n\x1a\n")) return finish(codec::decode_png(file, orientation));
  if (head.starts_with("RIFF") && head.find("WEBP") == 8)
    return finish(codec::decode_webp(file, orientation));
  if (head.starts_with("BM")) return codec::decode_bmp(file);
  if (head.starts_with("P5") || head.starts_with("P6")) return codec::decode_pnm(file);
  std::string hex;
  for (char c : head.substr(0, 8))
    hex += fmt::format("{}{:02x}", hex.empty() ? "" : " ", static_cast<uint8_t>(c));
  return bad_input(
      "not a JPEG, PNG, WebP, BMP, PPM or PGM image (it starts with {}): convert it to one of these", hex);
}

}  // namespace

Result<Image> decode_image(std::span<const std::byte> file) try {
  return decode_by_content(file);
} catch (const std::bad_alloc&) {
  return resource_error("not enough memory to decode the image");
}

Result<Image> load_image(const std::string& path) {
  constexpr size_t kMaxFileBytes = size_t{1} << 30;  // an uncompressed picture of kMaxImagePixels fits
  VTL_ASSIGN(const std::string file, read_file(path, kMaxFileBytes));
  auto image = decode_image(std::as_bytes(std::span(file)));
  if (!image.ok()) return image.status().with_context(path);
  return image;
}

}  // namespace vitrail
