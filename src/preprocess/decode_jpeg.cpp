// SPDX-License-Identifier: Apache-2.0
// libjpeg-turbo with its defaults (accurate integer DCT, fancy upsampling), which are Pillow's.
#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "preprocess/codec.h"

// jpeglib.h wants <cstdio> before it.
#include <jpeglib.h>

#include <jerror.h>

namespace vitrail::codec {
namespace {

// A progressive file of few bytes may ask for any number of passes over the picture; real ones have about
// ten.
constexpr int kMaxScans = 100;

struct Reader {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  Escape escape;

  ~Reader() { jpeg_destroy_decompress(&info); }
};

Reader& reader_of(j_common_ptr info) { return *static_cast<Reader*>(info->client_data); }

[[noreturn]] void fail(j_common_ptr info) {
  Reader& reader = reader_of(info);
  char text[JMSG_LENGTH_MAX];
  info->err->format_message(info, text);
  reader.escape.note(text);
  std::longjmp(reader.escape.point, 1);
}

// Warnings that mean lost pixels are failures; oddities that lose nothing (stray bytes, unknown versions)
// pass.
void warn(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_MUST_RESYNC:
      fail(info);
    default:
      return;
  }
}

void count_scans(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMaxScans) return;
  Reader& reader = reader_of(info);
  reader.escape.note("more than 100 scans: a decompression bomb");
  std::longjmp(reader.escape.point, 1);
}

int orientation_of(const jpeg_decompress_struct& info) {
  for (const jpeg_marker_struct* m = info.marker_list; m != nullptr; m = m->next)
    if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 && std::memcmp(m->data, "Exif\0\0", 6) == 0)
      return exif_orientation(std::as_bytes(std::span(m->data + 6, m->data_length - 6)));
  return 1;
}

// Adobe's files store CMYK inverted, so `row` holds 255 minus ink. Rounding as Pillow's cmyk2rgb.
void cmyk_to_rgb(const uint8_t* row, int width, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, row += 4) {
    const int white = row[3];
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - row[c]) * white + 128;
      *rgb++ = static_cast<uint8_t>(std::clamp(white - (((product >> 8) + product) >> 8), 0, 255));
    }
  }
}

}  // namespace

Result<Image> decode_jpeg(Bytes file, int& orientation) {
  Reader reader;
  jpeg_decompress_struct& info = reader.info;
  auto broken = [&] { return bad_input("broken JPEG: {}", reader.escape.message); };

  info.err = jpeg_std_error(&reader.errors);
  info.client_data = &reader;
  reader.errors.error_exit = fail;
  reader.errors.emit_message = warn;
  reader.progress.progress_monitor = count_scans;
  if (!guarded(reader.escape, [&] {
        jpeg_create_decompress(&info);  // keeps err and client_data
        info.progress = &reader.progress;
        jpeg_save_markers(&info, JPEG_APP0 + 1, 0xffff);
        jpeg_mem_src(&info, as_u8(file), file.size());
        jpeg_read_header(&info, TRUE);
      }))
    return broken();
  if (info.num_components != 1 && info.num_components != 3 && info.num_components != 4)
    return bad_input("JPEG with {} colour components; 1, 3 and 4 are known", info.num_components);

  // Huffman coding spends at least one bit on each 8×8 block of each component.
  const int64_t max_pixels_per_byte = info.arith_code ? 0 : 8 * 64;
  VTL_ASSIGN(Image image, new_image(info.image_width, info.image_height, file.size(), max_pixels_per_byte));
  const bool cmyk = info.num_components == 4;
  std::vector<uint8_t> cmyk_row(cmyk ? size_t{4} * info.image_width : 0);
  info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  orientation = orientation_of(info);

  if (!guarded(reader.escape, [&] {
        jpeg_start_decompress(&info);
        while (info.output_scanline < info.output_height) {
          uint8_t* rgb = image.pixels.data() + size_t{3} * info.output_scanline * info.output_width;
          JSAMPROW row = cmyk ? cmyk_row.data() : rgb;
          jpeg_read_scanlines(&info, &row, 1);
          if (cmyk) cmyk_to_rgb(row, image.width, rgb);
        }
        jpeg_finish_decompress(&info);
      }))
    return broken();
  return image;
}

}  // namespace vitrail::codec
