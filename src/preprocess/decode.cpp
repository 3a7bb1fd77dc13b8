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

Status check_size(int64_t width, int64_t height, size_t file_bytes, int64_t max_pixels_per_byte, PixelLimit limit) {
  if (width < 1 || height < 1) return bad_input("the image is {}x{} pixels: empty", width, height);
  if (width == 1 && height == 1) return bad_input("the image is 1x1 pixel: no picture (a tracking pixel?)");
  if (width > kMaxImageSide || height > kMaxImageSide || width * height > kMaxImagePixels)
    return bad_input(
        "the image claims {}x{} pixels, more than the {} (and {} a side) allowed: scale it down first", width,
        height, kMaxImagePixels, kMaxImageSide);
  if (width * height > limit.most)
    return bad_input("the image claims {}x{} pixels, more than the {} allowed here{}{}: scale it down first", width, height,
                     limit.most, limit.set_by.empty() ? "" : " by ", limit.set_by);
  if (max_pixels_per_byte > 0 && width * height / max_pixels_per_byte > static_cast<int64_t>(file_bytes))
    return bad_input(
        "the image claims {}x{} pixels but the file has only {} bytes: cut off or a decompression bomb",
        width, height, file_bytes);
  return {};
}

Result<Image> new_image(int64_t width, int64_t height, size_t file_bytes, int64_t max_pixels_per_byte, PixelLimit limit) {
  VTL_TRY(check_size(width, height, file_bytes, max_pixels_per_byte, limit));
  Image image{static_cast<int>(width), static_cast<int>(height), {}};
  image.pixels.resize(static_cast<size_t>(width * height * 3));
  return image;
}

Status cut_off(uint64_t needed, size_t available) {
  return bad_input("the file is cut off: {} bytes of pixels needed, {} there", needed, available);
}

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

Decoded whole(Image image) {
  const Place place{0, 0, image.width, image.height};
  return {std::move(image), place};
}

}  // namespace

Result<Decoded> decode(Bytes file, const Wishes& wishes, PixelLimit limit) try {
  if (file.empty()) return bad_input("the file is empty");
  const std::string_view head(reinterpret_cast<const char*>(file.data()), std::min<size_t>(file.size(), 16));
  int orientation = 1;
  auto finish = [&](Result<Image> decoded) -> Result<Decoded> {
    VTL_TRY(decoded.status());
    return whole(oriented(std::move(decoded).value(), orientation));
  };
  if (head.starts_with("\xff\xd8\xff")) {
    VTL_ASSIGN(Decoded decoded, decode_jpeg(file, wishes, limit, orientation));
    if (orientation == 1) return decoded;
    return whole(oriented(std::move(decoded.pixels), orientation));
  }
  if (head.starts_with("\x89PNG\r\n\x1a\n")) return finish(decode_png(file, limit, orientation));
  if (head.starts_with("RIFF") && head.find("WEBP") == 8)
    return finish(decode_webp(file, limit, orientation));
  if (head.starts_with("BM")) return finish(decode_bmp(file, limit));
  if (head.size() > 2 && head[0] == 'P' && head[1] >= '1' && head[1] <= '6') return finish(decode_pnm(file, limit));
  std::string hex;
  for (char c : head.substr(0, 8))
    hex += fmt::format("{}{:02x}", hex.empty() ? "" : " ", static_cast<uint8_t>(c));
  return bad_input(
      "not a JPEG, PNG, WebP, BMP, PPM, PGM or PBM image (it starts with {}): convert it to one of these", hex);
} catch (const std::bad_alloc&) {
  return resource_error("not enough memory to decode the image");
}

}  // namespace codec

Result<Image> decode_image(std::span<const std::byte> file) {
  VTL_ASSIGN(codec::Decoded decoded, codec::decode(file, {}));
  return std::move(decoded.pixels);
}

Result<Image> load_image(const std::string& path) {
  VTL_ASSIGN(const std::string file, read_file(path, kMaxImageFileBytes));
  auto image = decode_image(std::as_bytes(std::span(file)));
  if (!image.ok()) return image.status().with_context(path);
  return image;
}

}  // namespace vitrail
