// SPDX-License-Identifier: Apache-2.0
// Two lanes of 16 bytes (AVX2).

constexpr int kLanes = 2;
struct Words {
  __m256i v;
};

inline Words zero() { return {_mm256_setzero_si256()}; }
inline Words broadcast(int32_t x) { return {_mm256_set1_epi32(x)}; }
inline Words load(const uint8_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
inline void store(uint8_t* p, Words a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
inline Words load_lanes(const uint8_t* const (&lines)[kLanes], size_t at) {
  const auto* a = reinterpret_cast<const __m128i*>(lines[0] + at);
  const auto* b = reinterpret_cast<const __m128i*>(lines[1] + at);
  return {_mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(a)), _mm_loadu_si128(b), 1)};
}

inline Words add(Words a, Words b) { return {_mm256_add_epi32(a.v, b.v)}; }
inline Words multiply_add(Words a, Words b) { return {_mm256_madd_epi16(a.v, b.v)}; }
inline Words shift_left(Words a, int bits) { return {_mm256_slli_epi32(a.v, bits)}; }
inline Words shift_right(Words a, int bits) { return {_mm256_srai_epi32(a.v, bits)}; }
inline Words interleave_low(Words a, Words b) { return {_mm256_unpacklo_epi8(a.v, b.v)}; }
inline Words interleave_high(Words a, Words b) { return {_mm256_unpackhi_epi8(a.v, b.v)}; }

// Of four RGB pixels in each lane the first two, or the last two, as 16-bit r r g g b b 0 0.
inline Words first_pixel_pair(Words a) {
  const __m128i order = _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
  return {_mm256_shuffle_epi8(a.v, _mm256_broadcastsi128_si256(order))};
}
inline Words second_pixel_pair(Words a) {
  const __m128i order = _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  return {_mm256_shuffle_epi8(a.v, _mm256_broadcastsi128_si256(order))};
}

// The 32-bit integers of four vectors, clipped to bytes; lane by lane.
inline Words to_bytes(Words a, Words b, Words c, Words d) {
  return {_mm256_packus_epi16(_mm256_packs_epi32(a.v, b.v), _mm256_packs_epi32(c.v, d.v))};
}
// The first four of them in each lane.
inline void store_pixels(Words a, uint8_t (&out)[kLanes][4]) {
  const __m256i bytes = to_bytes(a, a, a, a).v;
  _mm_storeu_si32(out[0], _mm256_castsi256_si128(bytes));
  _mm_storeu_si32(out[1], _mm256_extracti128_si256(bytes, 1));
}
