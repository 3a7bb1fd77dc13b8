// SPDX-License-Identifier: Apache-2.0
// The formats without compression: BMP and binary PPM/PGM (netpbm's P6 and P5).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "preprocess/codec.h"

namespace vitrail::codec {
namespace {

Status cut_off(uint64_t needed, size_t available) {
  return bad_input("the file is cut off: {} bytes of pixels needed, {} there", needed, available);
}

// The next number of a netpbm header, after white space and comments; -1 when there is none below 10^9.
int64_t next_number(Bytes file, size_t& at) {
  const uint8_t* p = as_u8(file);
  auto space = [](uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (at < file.size() && (space(p[at]) || p[at] == '#')) {
    if (p[at] == '#')
      while (at < file.size() && p[at] != '\n' && p[at] != '\r') ++at;
    else
      ++at;
  }
  int64_t value = 0;
  const size_t first = at;
  for (; at < file.size() && p[at] >= '0' && p[at] <= '9' && at - first < 9; ++at)
    value = value * 10 + (p[at] - '0');
  if (at == first || at >= file.size() || !space(p[at])) return -1;
  return value;
}

}  // namespace

Result<Image> decode_pnm(Bytes file) {
  const bool grey = as_u8(file)[1] == '5';
  size_t at = 2;
  const int64_t width = next_number(file, at);
  const int64_t height = next_number(file, at);
  const int64_t maximum = next_number(file, at);
  if (width < 0 || height < 0 || maximum < 1 || maximum > 65535)
    return bad_input("broken PPM/PGM header: width, height and a maximum of 1 to 65535 expected");
  const Bytes samples = file.subspan(at + 1);  // one white space ends the header
  VTL_ASSIGN(Image image, new_image(width, height, file.size(), 1));

  const size_t sample_bytes = maximum > 255 ? 2 : 1;
  const size_t count = image.pixels.size() / (grey ? 3 : 1);
  if (samples.size() < count * sample_bytes) return cut_off(count * sample_bytes, samples.size());
  // Pillow widens grey of two bytes to 16 bits and clips it to 8; everything else is scaled to 0..255.
  const double top = grey && maximum > 255 ? 65535 : 255;
  const uint8_t* in = as_u8(samples);
  for (size_t i = 0; i < count; ++i, in += sample_bytes) {
    const int sample = sample_bytes == 2 ? in[0] << 8 | in[1] : in[0];
    const double scaled = std::nearbyint(sample / static_cast<double>(maximum) * top);
    const auto value = static_cast<uint8_t>(std::min(scaled, 255.0));
    if (grey)
      std::memset(&image.pixels[i * 3], value, 3);
    else
      image.pixels[i] = value;
  }
  return image;
}

Result<Image> decode_bmp(Bytes file) {
  constexpr size_t kHeaders = 14 + 40;
  if (file.size() < kHeaders) return bad_input("broken BMP: the header is cut off");
  const uint8_t* p = as_u8(file);
  auto number = [&](size_t at, size_t bytes) {  // little-endian
    uint32_t v = 0;
    for (size_t i = bytes; i-- > 0;) v = v << 8 | p[at + i];
    return v;
  };
  const uint32_t offset = number(10, 4), bits = number(28, 2), compression = number(30, 4);
  const auto stored_height = static_cast<int32_t>(number(22, 4));  // negative: rows from the top
  if (number(14, 4) < 40 || (bits != 24 && bits != 32) || compression != 0)
    return bad_input(
        "BMP of {} bits and compression {}; uncompressed 24 and 32 bits are known: convert it to PNG", bits,
        compression);
  const int64_t width = static_cast<int32_t>(number(18, 4));
  VTL_ASSIGN(Image image, new_image(width, std::abs(int64_t{stored_height}), file.size(), 1));

  const size_t pixel = bits / 8;
  const size_t stride = (image.width * pixel + 3) / 4 * 4;
  const size_t needed = stride * (image.height - 1) + image.width * pixel;
  const size_t available = offset < file.size() ? file.size() - offset : 0;
  if (available < needed) return cut_off(needed, available);
  uint8_t* out = image.pixels.data();
  for (int y = 0; y < image.height; ++y) {
    const uint8_t* in = p + offset + stride * (stored_height < 0 ? y : image.height - 1 - y);
    for (int x = 0; x < image.width; ++x, in += pixel)
      for (int c = 2; c >= 0; --c) *out++ = in[c];
  }
  return image;
}

}  // namespace vitrail::codec
