// SPDX-License-Identifier: Apache-2.0
// Vectors of int32 with as many lanes as Vec, and what lies between them and bytes. Included after
// simd_scalar.inl.h; simd_int_avx2.inl.h and simd_int_avx512.inl.h are twins.

struct IVec {
  int32_t v;
};

inline IVec load_ints(const int32_t* p) { return {*p}; }
inline void store_ints(int32_t* p, IVec a) { *p = a.v; }
inline IVec broadcast_int(int32_t x) { return {x}; }
inline IVec operator+(IVec a, IVec b) { return {a.v + b.v}; }
inline IVec operator*(IVec a, IVec b) { return {a.v * b.v}; }
inline int32_t sum_lanes(IVec a) { return a.v; }
inline IVec operator|(IVec a, IVec b) { return {a.v | b.v}; }
template <int kBits>
inline IVec shift_left(IVec a) {
  return {static_cast<int32_t>(static_cast<uint32_t>(a.v) << kBits)};
}
inline Vec to_floats(IVec a) { return {static_cast<float>(a.v)}; }
// Ties to even; |a| < 2^22.
inline IVec to_ints(Vec a) { return {static_cast<int32_t>(round_small(a).v)}; }
inline Vec flip_bits(Vec a, IVec mask) {
  return {std::bit_cast<float>(std::bit_cast<int32_t>(a.v) ^ mask.v)};
}
// The lowest byte of the first n lanes, exclusive or `flip`.
inline void store_bytes(uint8_t* p, IVec a, uint8_t flip, int64_t n) {
  if (n > 0) *p = static_cast<uint8_t>(a.v) ^ flip;
}
// out[16][4] is rows[4][16] transposed, each byte exclusive or `flip`.
inline void interleave(const uint8_t* const (&rows)[4], uint8_t flip, uint8_t* out) {
  for (int c = 0; c < 16; ++c) {
    for (int r = 0; r < 4; ++r) *out++ = rows[r][c] ^ flip;
  }
}
// The first n lanes of a, the others of b.
inline Vec keep_first(Vec a, int64_t n, Vec b) { return n > 0 ? a : b; }
