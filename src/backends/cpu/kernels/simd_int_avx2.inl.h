// SPDX-License-Identifier: Apache-2.0
// Eight lanes of int32. See simd_int_scalar.inl.h for what each function promises.

struct IVec {
  __m256i v;
};

inline IVec load_ints(const int32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
inline void store_ints(int32_t* p, IVec a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
inline IVec broadcast_int(int32_t x) { return {_mm256_set1_epi32(x)}; }
inline IVec operator+(IVec a, IVec b) { return {_mm256_add_epi32(a.v, b.v)}; }
inline IVec operator*(IVec a, IVec b) { return {_mm256_mullo_epi32(a.v, b.v)}; }
inline int32_t sum_lanes(IVec a) {
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
inline IVec operator|(IVec a, IVec b) { return {_mm256_or_si256(a.v, b.v)}; }
template <int kBits>
inline IVec shift_left(IVec a) {
  return {_mm256_slli_epi32(a.v, kBits)};
}
inline Vec to_floats(IVec a) { return {_mm256_cvtepi32_ps(a.v)}; }
inline IVec to_ints(Vec a) { return {_mm256_cvtps_epi32(a.v)}; }
inline Vec flip_bits(Vec a, IVec mask) { return {_mm256_xor_ps(a.v, _mm256_castsi256_ps(mask.v))}; }
inline void store_bytes(uint8_t* p, IVec a, uint8_t flip, int64_t n) {
  const __m256i low = _mm256_and_si256(a.v, _mm256_set1_epi32(255));  // what follows saturates
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  const __m128i bytes = _mm_xor_si128(_mm_packus_epi16(words, words), _mm_set1_epi8(static_cast<char>(flip)));
  if (n >= kWidth) return _mm_storel_epi64(reinterpret_cast<__m128i*>(p), bytes);
  alignas(16) uint8_t lanes[16];
  _mm_store_si128(reinterpret_cast<__m128i*>(lanes), bytes);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}
inline void interleave(const uint8_t* const (&rows)[4], uint8_t flip, uint8_t* out) {
  const __m128i flips = _mm_set1_epi8(static_cast<char>(flip));
  __m128i r[4];
  for (int i = 0; i < 4; ++i)
    r[i] = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[i])), flips);
  const __m128i low01 = _mm_unpacklo_epi8(r[0], r[1]), high01 = _mm_unpackhi_epi8(r[0], r[1]);
  const __m128i low23 = _mm_unpacklo_epi8(r[2], r[3]), high23 = _mm_unpackhi_epi8(r[2], r[3]);
  auto* to = reinterpret_cast<__m128i*>(out);
  _mm_storeu_si128(to, _mm_unpacklo_epi16(low01, low23));
  _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(low01, low23));
  _mm_storeu_si128(to + 2, _mm_unpacklo_epi16(high01, high23));
  _mm_storeu_si128(to + 3, _mm_unpackhi_epi16(high01, high23));
}
inline Vec keep_first(Vec a, int64_t n, Vec b) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i first = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n)), lanes);
  return {_mm256_blendv_ps(b.v, a.v, _mm256_castsi256_ps(first))};
}
