// SPDX-License-Identifier: Apache-2.0
// netpbm's PBM, PGM and PPM: P1 to P3 in decimal digits, P4 to P6 binary.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "preprocess/codec.h"

namespace vitrail::codec {
namespace {

bool is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Skips white space and comments.
void skip(Bytes file, size_t& at) {
  const uint8_t* p = as_u8(file);
  while (at < file.size() && (is_space(p[at]) || p[at] == '#')) {
    if (p[at] == '#')
      while (at < file.size() && p[at] != '\n' && p[at] != '\r') ++at;
    else
      ++at;
  }
}

// The next number, after white space and comments; -1 when there is none below 10^9.
int64_t next_number(Bytes file, size_t& at) {
  const uint8_t* p = as_u8(file);
  skip(file, at);
  int64_t value = 0;
  const size_t first = at;
  for (; at < file.size() && p[at] >= '0' && p[at] <= '9' && at - first < 9; ++at)
    value = value * 10 + (p[at] - '0');
  if (at == first || (at < file.size() && !is_space(p[at]) && p[at] != '#')) return -1;
  return value;
}

struct Header {
  bool plain, bitmap, grey;
  int64_t maximum = 1;
};

// 8 bits of a sample. Pillow widens grey of two bytes to 16 bits and clips it to 8; everything else is scaled to 0..255.
uint8_t scaled(int64_t sample, const Header& header) {
  const double top = header.grey && header.maximum > 255 ? 65535 : 255;
  const double value = std::nearbyint(static_cast<double>(sample) / static_cast<double>(header.maximum) * top);
  return static_cast<uint8_t>(std::min(value, 255.0));
}

Status read_plain(Bytes file, size_t at, const Header& header, std::span<uint8_t> out) {
  for (uint8_t& value : out) {
    if (header.bitmap) {  // its digits need no space between them
      skip(file, at);
      if (at >= file.size()) return cut_off(out.size(), file.size());
      const uint8_t digit = as_u8(file)[at++];
      if (digit != '0' && digit != '1') return bad_input("broken PBM: a pixel is neither 0 nor 1");
      value = digit == '0' ? 255 : 0;
      continue;
    }
    const int64_t sample = next_number(file, at);
    if (sample < 0 && at >= file.size()) return cut_off(out.size(), file.size());
    if (sample < 0 || sample > header.maximum)
      return bad_input("broken PPM/PGM: a sample is not a number of 0 to {}", header.maximum);
    value = scaled(sample, header);
  }
  return {};
}

// Rows of bits, padded to bytes; 1 is black.
Status read_bits(Bytes bits, int width, std::span<uint8_t> out) {
  const size_t stride = (static_cast<size_t>(width) + 7) / 8, rows = out.size() / static_cast<size_t>(width);
  if (bits.size() < stride * rows) return cut_off(stride * rows, bits.size());
  const uint8_t* in = as_u8(bits);
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t x = i % static_cast<size_t>(width), y = i / static_cast<size_t>(width);
    out[i] = in[y * stride + x / 8] >> (7 - x % 8) & 1 ? 0 : 255;
  }
  return {};
}

Status read_binary(Bytes samples, const Header& header, std::span<uint8_t> out) {
  const size_t sample_bytes = header.maximum > 255 ? 2 : 1;
  if (samples.size() / sample_bytes < out.size()) return cut_off(out.size() * sample_bytes, samples.size());
  const uint8_t* in = as_u8(samples);
  for (size_t i = 0; i < out.size(); ++i, in += sample_bytes)
    out[i] = scaled(sample_bytes == 2 ? in[0] << 8 | in[1] : in[0], header);
  return {};
}

}  // namespace

Result<Image> decode_pnm(Bytes file, PixelLimit limit) {
  const char kind = static_cast<char>(as_u8(file)[1]);
  Header header{kind <= '3', kind == '1' || kind == '4', kind != '3' && kind != '6'};
  size_t at = 2;
  const int64_t width = next_number(file, at);
  const int64_t height = next_number(file, at);
  if (!header.bitmap) header.maximum = next_number(file, at);
  if (width < 0 || height < 0 || header.maximum < 1 || header.maximum > 65535 || at >= file.size())
    return bad_input("broken PPM/PGM/PBM header: width, height and a maximum of 1 to 65535 expected");
  VTL_ASSIGN(Image image, new_image(width, height, file.size(), kind == '4' ? 8 : 1, limit));

  std::vector<uint8_t> grey(header.grey ? image.pixels.size() / 3 : 0);
  const std::span<uint8_t> out(header.grey ? grey : image.pixels);
  if (header.plain) {
    VTL_TRY(read_plain(file, at, header, out));
  } else {
    const Bytes data = file.subspan(at + 1);  // one white space ends the header
    VTL_TRY(header.bitmap ? read_bits(data, image.width, out) : read_binary(data, header, out));
  }
  for (size_t i = 0; i < grey.size(); ++i) std::memset(&image.pixels[i * 3], grey[i], 3);
  return image;
}

}  // namespace vitrail::codec
