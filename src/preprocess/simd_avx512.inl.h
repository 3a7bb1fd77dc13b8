// SPDX-License-Identifier: Apache-2.0
// Four lanes of 16 bytes (AVX-512 BW).

constexpr int kLanes = 4;
struct Words {
  __m512i v;
};

inline Words zero() { return {_mm512_setzero_si512()}; }
inline Words broadcast(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline Words load(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
inline void store(uint8_t* p, Words a) { _mm512_storeu_si512(p, a.v); }
inline Words load_lanes(const uint8_t* const (&lines)[kLanes], size_t at) {
  auto line = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(lines[i] + at)); };
  __m512i v = _mm512_castsi128_si512(line(0));
  v = _mm512_inserti32x4(v, line(1), 1);
  v = _mm512_inserti32x4(v, line(2), 2);
  return {_mm512_inserti32x4(v, line(3), 3)};
}

inline Words add(Words a, Words b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline Words multiply_add(Words a, Words b) { return {_mm512_madd_epi16(a.v, b.v)}; }
inline Words shift_left(Words a, int bits) { return {_mm512_sll_epi32(a.v, _mm_cvtsi32_si128(bits))}; }
inline Words shift_right(Words a, int bits) { return {_mm512_sra_epi32(a.v, _mm_cvtsi32_si128(bits))}; }
inline Words interleave_low(Words a, Words b) { return {_mm512_unpacklo_epi8(a.v, b.v)}; }
inline Words interleave_high(Words a, Words b) { return {_mm512_unpackhi_epi8(a.v, b.v)}; }

inline Words first_pixel_pair(Words a) {
  const __m128i order = _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
  return {_mm512_shuffle_epi8(a.v, _mm512_broadcast_i32x4(order))};
}
inline Words second_pixel_pair(Words a) {
  const __m128i order = _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  return {_mm512_shuffle_epi8(a.v, _mm512_broadcast_i32x4(order))};
}

inline Words to_bytes(Words a, Words b, Words c, Words d) {
  return {_mm512_packus_epi16(_mm512_packs_epi32(a.v, b.v), _mm512_packs_epi32(c.v, d.v))};
}
inline void store_pixels(Words a, uint8_t (&out)[kLanes][4]) {
  const __m512i bytes = to_bytes(a, a, a, a).v;
  _mm_storeu_si32(out[0], _mm512_castsi512_si128(bytes));
  _mm_storeu_si32(out[1], _mm512_extracti32x4_epi32(bytes, 1));
  _mm_storeu_si32(out[2], _mm512_extracti32x4_epi32(bytes, 2));
  _mm_storeu_si32(out[3], _mm512_extracti32x4_epi32(bytes, 3));
}
