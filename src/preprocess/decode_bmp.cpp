// SPDX-License-Identifier: Apache-2.0
// Windows and OS/2 bitmaps of 1, 4, 8, 16, 24 and 32 bits, run-length coded ones included
// (https://learn.microsoft.com/windows/win32/gdi/bitmap-storage).
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "preprocess/codec.h"

namespace vitrail::codec {
namespace {

constexpr size_t kFileHeader = 14, kOldInfo = 12, kInfo = 40;
enum Compression : uint32_t { kNone = 0, kRle8 = 1, kRle4 = 2, kBitfields = 3 };

struct Header {
  int64_t width = 0, height = 0;
  bool from_the_top = false;
  uint32_t bits = 0, compression = kNone;
  size_t pixels = 0;                      // where they begin
  std::array<uint32_t, 3> masks{};        // of red, green and blue, for 16 and 32 bits
  std::array<std::array<uint8_t, 3>, 256> palette{};
};

uint32_t number(Bytes file, size_t at, size_t bytes) {  // little-endian
  uint32_t v = 0;
  for (size_t i = bytes; i-- > 0;) v = v << 8 | as_u8(file)[at + i];
  return v;
}

// Indices that the file gives no colour are grey, as Pillow has it.
Status read_palette(Bytes file, size_t at, size_t count, size_t entry, Header& h) {
  for (size_t i = 0; i < 256; ++i) h.palette[i].fill(static_cast<uint8_t>(i));
  if (count > 256) return bad_input("broken BMP: a palette of {} colours", count);
  if (at + count * entry > file.size()) return bad_input("broken BMP: the palette is cut off");
  for (size_t i = 0; i < count; ++i)
    for (size_t c = 0; c < 3; ++c) h.palette[i][c] = as_u8(file)[at + i * entry + 2 - c];
  return {};
}

Status check_kind(const Header& h) {
  const bool indexed = h.bits == 1 || h.bits == 4 || h.bits == 8;
  bool known = (h.compression == kNone && (indexed || h.bits == 16 || h.bits == 24 || h.bits == 32)) ||
               (h.compression == kBitfields && (h.bits == 16 || h.bits == 32)) ||
               (h.compression == kRle8 && h.bits == 8) || (h.compression == kRle4 && h.bits == 4);
  if (h.bits == 16) {
    constexpr std::array<uint32_t, 3> k565{0xf800, 0x7e0, 0x1f}, k555{0x7c00, 0x3e0, 0x1f};
    known &= h.masks == k565 || h.masks == k555;
  } else if (h.bits == 32) {  // each colour is a byte
    for (uint32_t mask : h.masks) known &= mask == 0xffu || mask == 0xff00u || mask == 0xff0000u || mask == 0xff000000u;
  }
  if (known) return {};
  return bad_input(
      "BMP of {} bits, compression {} and colour masks {:x}, {:x}, {:x}, which Vitrail does not read: convert it to PNG",
      h.bits, h.compression, h.masks[0], h.masks[1], h.masks[2]);
}

Result<Header> read_header(Bytes file) {
  Header h;
  if (file.size() < kFileHeader + kOldInfo) return bad_input("broken BMP: the header is cut off");
  h.pixels = number(file, 10, 4);
  const size_t info = number(file, 14, 4);
  if (info != kOldInfo && (info < kInfo || info > 1024)) return bad_input("broken BMP: a header of {} bytes", info);
  if (file.size() < kFileHeader + info) return bad_input("broken BMP: the header is cut off");
  size_t colours = 0, after = kFileHeader + info;
  if (info == kOldInfo) {
    h.width = number(file, 18, 2);
    h.height = number(file, 20, 2);
    h.bits = number(file, 24, 2);
  } else {
    h.width = static_cast<int32_t>(number(file, 18, 4));
    const auto height = static_cast<int32_t>(number(file, 22, 4));
    h.from_the_top = height < 0;
    h.height = std::abs(int64_t{height});
    h.bits = number(file, 28, 2);
    h.compression = number(file, 30, 4);
    colours = number(file, 46, 4);
  }
  if (h.bits == 16) h.masks = {0x7c00, 0x3e0, 0x1f};
  if (h.bits == 32) h.masks = {0xff0000, 0xff00, 0xff};
  if (h.compression == kBitfields) {  // in the longer headers, else behind the header
    if (file.size() < kFileHeader + kInfo + 12) return bad_input("broken BMP: the header is cut off");
    for (size_t c = 0; c < 3; ++c) h.masks[c] = number(file, kFileHeader + kInfo + 4 * c, 4);
    if (info == kInfo) after += 12;
  }
  VTL_TRY(check_kind(h));
  if (h.bits <= 8) {
    if (colours == 0) colours = size_t{1} << h.bits;
    VTL_TRY(read_palette(file, after, colours, info == kOldInfo ? 3 : 4, h));
  }
  return h;
}

int shift_of(uint32_t mask) { return mask == 0 ? 0 : __builtin_ctz(mask); }

// One row of the file as RGB.
void read_row(const uint8_t* in, const Header& h, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x, out += 3) {
    if (h.bits <= 8) {
      const size_t bit = static_cast<size_t>(x) * h.bits;
      const uint32_t index = in[bit / 8] >> (8 - h.bits - bit % 8) & ((1u << h.bits) - 1);
      std::memcpy(out, h.palette[index].data(), 3);
    } else if (h.bits == 24) {
      for (int c = 0; c < 3; ++c) out[c] = in[3 * x + 2 - c];
    } else {
      uint32_t pixel = 0;
      std::memcpy(&pixel, in + static_cast<size_t>(x) * h.bits / 8, h.bits / 8);
      for (size_t c = 0; c < 3; ++c) {
        const int shift = shift_of(h.masks[c]);
        const uint32_t top = h.masks[c] >> shift;
        out[c] = static_cast<uint8_t>((pixel >> shift & top) * 255 / top);
      }
    }
  }
}

// Palette indices of a run-length coded picture, rows from the bottom. Pixels that are jumped over are 0.
Result<std::vector<uint8_t>> unpack(Bytes in, const Header& h) {
  std::vector<uint8_t> out(static_cast<size_t>(h.width * h.height));
  const auto width = static_cast<size_t>(h.width);
  const uint8_t* p = as_u8(in);
  const bool nibbles = h.bits == 4;
  size_t at = 0, x = 0, y = 0;
  auto put = [&](size_t i, uint8_t byte) {
    if (x >= width || y >= static_cast<size_t>(h.height)) return;
    out[y * width + x++] = !nibbles ? byte : i % 2 == 0 ? byte >> 4 : byte & 15;
  };
  while (y < static_cast<size_t>(h.height)) {
    if (in.size() - at < 2) return cut_off(at + 2, in.size());
    const size_t count = p[at], value = p[at + 1];
    at += 2;
    if (count > 0) {
      for (size_t i = 0; i < count; ++i) put(i, static_cast<uint8_t>(value));
    } else if (value == 0) {  // end of the line
      x = 0;
      ++y;
    } else if (value == 1) {  // end of the picture
      break;
    } else if (value == 2) {
      if (in.size() - at < 2) return cut_off(at + 2, in.size());
      x += p[at];
      y += p[at + 1];
      at += 2;
    } else {  // that many pixels one by one, padded to 16 bits
      const size_t bytes = nibbles ? (value + 1) / 2 : value;
      if (in.size() - at < bytes + bytes % 2) return cut_off(at + bytes + bytes % 2, in.size());
      for (size_t i = 0; i < value; ++i) put(i, p[at + (nibbles ? i / 2 : i)]);
      at += bytes + bytes % 2;
    }
  }
  return out;
}

}  // namespace

Result<Image> decode_bmp(Bytes file, PixelLimit limit) {
  VTL_ASSIGN(const Header h, read_header(file));
  const bool packed = h.compression == kRle8 || h.compression == kRle4;
  // A run of 255 pixels takes two bytes. Only jumps say more, which nobody uses for most of a picture.
  VTL_ASSIGN(Image image, new_image(h.width, h.height, file.size(), packed ? 128 : 8, limit));
  const Bytes data = file.subspan(std::min(h.pixels, file.size()));
  std::vector<uint8_t> indices;
  if (packed) {
    VTL_ASSIGN(indices, unpack(data, h));
  }
  const auto width = static_cast<size_t>(image.width);
  const size_t used = packed ? width : (width * h.bits + 7) / 8, stride = packed ? width : (used + 3) / 4 * 4;
  const uint8_t* rows = packed ? indices.data() : as_u8(data);
  if (!packed) {
    const size_t needed = stride * static_cast<size_t>(image.height - 1) + used;
    if (data.size() < needed) return cut_off(needed, data.size());
  }
  Header unpacked = h;
  if (packed) unpacked.bits = 8;
  for (int y = 0; y < image.height; ++y) {
    const auto row = static_cast<size_t>(h.from_the_top ? y : image.height - 1 - y);
    read_row(rows + stride * row, unpacked, image.width, image.pixels.data() + 3 * width * static_cast<size_t>(y));
  }
  return image;
}

}  // namespace vitrail::codec
