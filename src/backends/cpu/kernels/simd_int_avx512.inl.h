// SPDX-License-Identifier: Apache-2.0
// Sixteen lanes of int32. See simd_int_scalar.inl.h for what each function promises.

struct IVec {
  __m512i v;
};

inline IVec load_ints(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline void store_ints(int32_t* p, IVec a) { _mm512_storeu_si512(p, a.v); }
inline IVec broadcast_int(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline IVec operator+(IVec a, IVec b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline IVec operator*(IVec a, IVec b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
inline int32_t sum_lanes(IVec a) { return _mm512_reduce_add_epi32(a.v); }
inline IVec operator|(IVec a, IVec b) { return {_mm512_or_si512(a.v, b.v)}; }
template <int kBits>
inline IVec shift_left(IVec a) {
  return {_mm512_slli_epi32(a.v, kBits)};
}
inline Vec to_floats(IVec a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline IVec to_ints(Vec a) { return {_mm512_cvtps_epi32(a.v)}; }
inline Vec flip_bits(Vec a, IVec mask) { return {_mm512_xor_ps(a.v, _mm512_castsi512_ps(mask.v))}; }
inline void store_bytes(uint8_t* p, IVec a, uint8_t flip, int64_t n) {
  const __m128i bytes = _mm_xor_si128(_mm512_cvtepi32_epi8(a.v), _mm_set1_epi8(static_cast<char>(flip)));
  _mm_mask_storeu_epi8(p, first_lanes(n), bytes);
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
inline Vec keep_first(Vec a, int64_t n, Vec b) { return {_mm512_mask_mov_ps(b.v, first_lanes(n), a.v)}; }
