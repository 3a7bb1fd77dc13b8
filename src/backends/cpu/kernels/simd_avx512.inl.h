// SPDX-License-Identifier: Apache-2.0
// Vectors of sixteen lanes (AVX-512 F, BW, DQ, VL). See simd_scalar.inl.h for what each function promises.

constexpr int64_t kWidth = 16;
// Two 512-bit multiply-adds a cycle at 4 cycles latency need 8 accumulators; 14 x 2 of the 32 registers also
// keep the loads (14 broadcasts + 2 of B for 28 multiply-adds) far below the two a cycle that L1 gives.
constexpr int kBlock = 14;
constexpr int kVectors = 2;
constexpr int64_t kStrip = 32;

struct Vec {
  __m512 v;
};

inline __mmask16 first_lanes(int64_t n) {
  return static_cast<__mmask16>(_bzhi_u32(0xffff, static_cast<unsigned>(n)));
}

inline Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline Vec load_first(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
inline void store_first(float* p, Vec a, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
inline Vec load_lanes(const float* p, int64_t from, int64_t to) {
  return {_mm512_maskz_loadu_ps(_kandn_mask16(first_lanes(from), first_lanes(to)), p)};
}

inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
inline Vec abs(Vec a) { return {_mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.v)}; }
inline Vec neg(Vec a) { return {_mm512_xor_ps(_mm512_set1_ps(-0.0f), a.v)}; }
inline Vec round_small(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline Vec scale_by_power(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline float sum_lanes(Vec a) { return _mm512_reduce_add_ps(a.v); }
inline float max_lanes(Vec a) { return _mm512_reduce_max_ps(a.v); }
inline void transpose(Vec (&r)[kWidth]) {
  __m512 t[16];
  __m512 u[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i].v, r[i + 1].v);
    t[i + 1] = _mm512_unpackhi_ps(r[i].v, r[i + 1].v);
  }
  for (int i = 0; i < 16; i += 4) {
    u[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
    u[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  // u[4a + b] holds columns b, b+4, b+8, b+12 of rows 4a … 4a+3 in its four quarters.
  for (int b = 0; b < 4; ++b) {
    const __m512 even_low = _mm512_shuffle_f32x4(u[b], u[4 + b], 0x88);
    const __m512 odd_low = _mm512_shuffle_f32x4(u[b], u[4 + b], 0xdd);
    const __m512 even_high = _mm512_shuffle_f32x4(u[8 + b], u[12 + b], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(u[8 + b], u[12 + b], 0xdd);
    r[b].v = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
    r[b + 8].v = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
    r[b + 4].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
    r[b + 12].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
  }
}
