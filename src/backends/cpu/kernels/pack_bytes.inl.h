// SPDX-License-Identifier: Apache-2.0
// Bytes into the layouts that the products of bytes read.

constexpr int64_t kQuad = 4;
constexpr int64_t kPanelQuad = kPanel * kQuad;  // bytes of one quad of a panel

// a[rows][bytes] with stride lda, each byte exclusive or `flip`, to out[quads][step][4]; bytes past the end
// of a row become 0.
inline void pack_quads(const uint8_t* a, int64_t lda, int64_t rows, int64_t bytes, uint8_t flip, int64_t step,
                       uint8_t* out) {
  const uint32_t flips = flip * 0x01010101u;
  const int64_t whole = bytes / kQuad;
  const auto move = [&](int64_t r, int64_t q, int64_t n) {
    uint32_t quad = 0;
    std::memcpy(&quad, a + r * lda + q * kQuad, static_cast<size_t>(n));
    quad ^= flips;
    std::memcpy(out + (q * step + r) * kQuad, &quad, kQuad);
  };
  int64_t q0 = 0;
  if constexpr (kWidth > 1) {
    const IVec mask = broadcast_int(static_cast<int32_t>(flips));
    for (; q0 + kWidth <= whole; q0 += kWidth) {
      for (int64_t r0 = 0; r0 < rows; r0 += kWidth) {
        const int64_t n = rows - r0 < kWidth ? rows - r0 : kWidth;
        Vec t[kWidth];
        for (int64_t i = 0; i < kWidth; ++i) {
          t[i] = i < n
                     ? flip_bits(load(reinterpret_cast<const float*>(a + (r0 + i) * lda + q0 * kQuad)), mask)
                     : broadcast(0.0f);
        }
        transpose(t);
        for (int64_t i = 0; i < kWidth; ++i)
          store_first(reinterpret_cast<float*>(out + ((q0 + i) * step + r0) * kQuad), t[i], n);
      }
    }
  }
  for (; q0 < whole; ++q0) {
    for (int64_t r = 0; r < rows; ++r) move(r, q0, kQuad);
  }
  if (whole * kQuad < bytes) {
    for (int64_t r = 0; r < rows; ++r) move(r, whole, bytes - whole * kQuad);
  }
}

// v[keys][cols] with stride ld to panels [ceil(cols/16)][depth/4][16][4], bytes exclusive or `flip`, zeros
// from `keys` to `depth`.
inline void pack_panels(const uint8_t* v, int64_t ld, int64_t keys, int64_t cols, uint8_t flip, int64_t depth,
                        uint8_t* out) {
  alignas(16) uint8_t blank[kPanel];
  alignas(16) uint8_t short_rows[kQuad][kPanel] = {};
  std::memset(blank, flip, sizeof(blank));
  for (int64_t c = 0; c < cols; c += kPanel) {
    const int64_t width = cols - c < kPanel ? cols - c : kPanel;
    for (int64_t k = 0; k < depth; k += kQuad, out += kPanelQuad) {
      const uint8_t* rows[kQuad];
      for (int64_t i = 0; i < kQuad; ++i) {
        rows[i] = k + i < keys ? v + (k + i) * ld + c : blank;
        if (width == kPanel || k + i >= keys) continue;
        std::memcpy(short_rows[i], rows[i], static_cast<size_t>(width));
        rows[i] = short_rows[i];
      }
      interleave(rows, flip, out);
    }
  }
}
