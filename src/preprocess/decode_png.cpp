// SPDX-License-Identifier: Apache-2.0
#include <png.h>

#include <cstring>

#include "core/error.h"
#include "preprocess/codec.h"

namespace vitrail::codec {
namespace {

struct Reader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  Bytes rest;  // of the file
  Escape escape;

  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void fail(png_structp png, png_const_charp message) {
  auto& escape = static_cast<Reader*>(png_get_error_ptr(png))->escape;
  escape.note(message);
  std::longjmp(escape.point, 1);
}

void ignore(png_structp, png_const_charp) {}  // ancillary chunks that libpng finds odd do not change pixels

void read(png_structp png, png_bytep out, size_t count) {
  auto& rest = static_cast<Reader*>(png_get_io_ptr(png))->rest;
  if (count > rest.size()) png_error(png, "the file is cut off");
  std::memcpy(out, rest.data(), count);
  rest = rest.subspan(count);
}

// Asks libpng for rows of RGB8, or of 16-bit grey, which Pillow clips instead of scaling. True for the
// latter.
bool set_transforms(png_structp png, png_infop info) {
  const int color = png_get_color_type(png, info);
  const int depth = png_get_bit_depth(png, info);
  const bool grey16 = color == PNG_COLOR_TYPE_GRAY && depth == 16;
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (color == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (!grey16) {
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
  }
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  return grey16;
}

}  // namespace

Result<Image> decode_png(Bytes file, PixelLimit limit, int& orientation) {
  Reader reader;
  reader.rest = file;
  auto broken = [&] { return bad_input("broken PNG: {}", reader.escape.message); };

  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, fail, ignore);
  if (reader.png == nullptr) return resource_error("libpng could not start");
  reader.info = png_create_info_struct(reader.png);
  if (reader.info == nullptr) return resource_error("libpng could not start");
  if (!guarded(reader.escape, [&] {
        png_set_read_fn(reader.png, &reader, read);
        png_read_info(reader.png, reader.info);
      }))
    return broken();

  // Deflate expands a byte to at most 1032, and a byte holds at most 8 pixels.
  const int64_t width = png_get_image_width(reader.png, reader.info);
  const int64_t height = png_get_image_height(reader.png, reader.info);
  VTL_ASSIGN(Image image, new_image(width, height, file.size(), 8 * 1032, limit));

  bool grey16 = false;
  if (!guarded(reader.escape, [&] { grey16 = set_transforms(reader.png, reader.info); })) return broken();
  const size_t row_bytes = static_cast<size_t>(width) * (grey16 ? 2 : 3);
  if (png_get_rowbytes(reader.png, reader.info) != row_bytes)
    return internal_error("PNG rows of {} bytes, expected {}", png_get_rowbytes(reader.png, reader.info),
                          row_bytes);

  // 16-bit grey takes two bytes a pixel: it is read into the end of each row and widened towards its front.
  std::vector<png_bytep> rows(static_cast<size_t>(height));
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = &image.pixels[(y + 1) * 3 * width - row_bytes];
  if (!guarded(reader.escape, [&] {
        png_read_image(reader.png, rows.data());
        png_read_end(reader.png, reader.info);
        png_bytep exif = nullptr;
        png_uint_32 exif_bytes = 0;
        if (png_get_eXIf_1(reader.png, reader.info, &exif_bytes, &exif) != 0)
          orientation = exif_orientation(std::as_bytes(std::span(exif, exif_bytes)));
      }))
    return broken();

  for (size_t y = 0; grey16 && y < rows.size(); ++y) {
    uint8_t* out = &image.pixels[y * 3 * width];
    const uint8_t* in = rows[y];
    for (int64_t x = 0; x < width; ++x, in += 2, out += 3) {
      const uint8_t value = in[0] == 0 ? in[1] : 255;
      std::memset(out, value, 3);
    }
  }
  return image;
}

}  // namespace vitrail::codec
