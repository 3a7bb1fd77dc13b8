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

// Fancy upsampling takes a neighbour on each side; where libjpeg is told to begin, it sees none.
constexpr int kNeighbours = 4;

// The columns to decode, so that those of `region` come out as they would in the whole picture.
void widen(Region& region, int width) {
  const int64_t right = std::min<int64_t>(width, region.x + region.width + kNeighbours);
  region.x = std::max<int64_t>(0, region.x - kNeighbours);
  region.width = static_cast<int>(right - region.x);
}

// Of a progressive picture that lacks scans, libjpeg guesses coefficients from the blocks around: at the edges of a part it would
// see other blocks than in the whole.
bool guesses(const jpeg_decompress_struct& info) {
  constexpr int kGuessed = 10;  // that many of a block's coefficients matter for it
  if (!info.progressive_mode || info.coef_bits == nullptr) return false;
  for (int c = 0; c < info.num_components; ++c)
    if (std::any_of(info.coef_bits[c], info.coef_bits[c] + kGuessed, [](int bits) { return bits != 0; })) return true;
  return false;
}

}  // namespace

Result<Decoded> decode_jpeg(Bytes file, const Wishes& wishes, PixelLimit limit, int& orientation) {
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
  VTL_TRY(check_size(info.image_width, info.image_height, file.size(), max_pixels_per_byte, limit));
  const bool cmyk = info.num_components == 4;
  info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  orientation = orientation_of(info);

  const int width = static_cast<int>(info.image_width), height = static_cast<int>(info.image_height);
  Wish wish{{0, 0, width, height}};
  if (wishes && orientation == 1) {
    VTL_ASSIGN(wish, wishes(width, height));
  }
  if (wish.shrink > 1) {
    info.scale_num = 1;
    info.scale_denom = static_cast<unsigned>(wish.shrink);
  }
  JDIMENSION left = 0, columns = 0;
  if (!guarded(reader.escape, [&] {
        jpeg_start_decompress(&info);
        if (wish.shrink > 1 || guesses(info))
          wish.region = {0, 0, static_cast<int>(info.output_width), static_cast<int>(info.output_height)};
        else
          widen(wish.region, width);
        left = static_cast<JDIMENSION>(wish.region.x);
        columns = static_cast<JDIMENSION>(wish.region.width);
        if (columns < info.output_width) jpeg_crop_scanline(&info, &left, &columns);  // may begin further left
      }))
    return broken();

  const int whole_width = wish.shrink > 1 ? wish.region.width : width;
  Decoded out{{static_cast<int>(columns), wish.region.height, {}},
              {left, wish.region.y, whole_width, static_cast<int>(info.output_height)}};
  const size_t stride = size_t{3} * columns;
  out.pixels.pixels.resize(stride * static_cast<size_t>(wish.region.height));
  std::vector<uint8_t> row_buffer(size_t{4} * columns);
  if (!guarded(reader.escape, [&] {
        if (wish.region.y > 0) jpeg_skip_scanlines(&info, static_cast<JDIMENSION>(wish.region.y));
        uint8_t* rgb = out.pixels.pixels.data();
        for (int y = 0; y < wish.region.height; ++y, rgb += stride) {
          JSAMPROW row = cmyk ? row_buffer.data() : rgb;
          jpeg_read_scanlines(&info, &row, 1);
          if (cmyk) cmyk_to_rgb(row, out.pixels.width, rgb);
        }
        // A file that is cut off must not pass because the end of the picture is not wanted: libjpeg reads up to the
        // last row.
        if (const JDIMENSION rest = info.output_height - info.output_scanline; rest > 0) {
          if (rest > 1) jpeg_skip_scanlines(&info, rest - 1);
          JSAMPROW row = row_buffer.data();
          jpeg_read_scanlines(&info, &row, 1);
        }
        jpeg_finish_decompress(&info);
      }))
    return broken();
  return out;
}

}  // namespace vitrail::codec
