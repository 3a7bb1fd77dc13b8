// SPDX-License-Identifier: Apache-2.0
#include "preprocess/codec.h"

namespace vitrail::codec {

int exif_orientation(Bytes tiff) {
  constexpr uint32_t kOrientation = 0x0112, kShort = 3;
  if (tiff.size() < 8) return 1;
  const uint8_t* p = as_u8(tiff);
  const bool little = p[0] == 'I' && p[1] == 'I';
  if (!little && !(p[0] == 'M' && p[1] == 'M')) return 1;
  auto number = [&](size_t at, size_t bytes) {
    uint32_t v = 0;
    for (size_t i = 0; i < bytes; ++i) v = v << 8 | p[at + (little ? bytes - 1 - i : i)];
    return v;
  };
  const size_t ifd = number(4, 4);
  if (ifd > tiff.size() - 2) return 1;
  const size_t entries = number(ifd, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = ifd + 2 + 12 * i;
    if (entry + 12 > tiff.size()) return 1;
    if (number(entry, 2) != kOrientation || number(entry + 2, 2) != kShort) continue;
    const uint32_t value = number(entry + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace vitrail::codec
