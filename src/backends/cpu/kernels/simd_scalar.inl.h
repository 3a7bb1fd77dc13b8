// SPDX-License-Identifier: Apache-2.0
// Vectors of one lane, in plain C++. Included inside a namespace; simd_avx2.inl.h and simd_avx512.inl.h are
// twins.

constexpr int64_t kWidth = 1;
constexpr int kBlock = 4;    // rows of a tile
constexpr int kVectors = 4;  // vectors of a tile's row that are worked at once
constexpr int64_t kStrip = 16;

struct Vec {
  float v;
};

inline Vec broadcast(float x) { return {x}; }
inline Vec load(const float* p) { return {*p}; }
inline void store(float* p, Vec a) { *p = a.v; }
// The first n lanes, 0 <= n <= kWidth; the others read as 0 and are not written.
inline Vec load_first(const float* p, int64_t n) { return {n > 0 ? *p : 0.0f}; }
inline void store_first(float* p, Vec a, int64_t n) {
  if (n > 0) *p = a.v;
}
// Lanes [from, to) of p; the others read as 0 and their memory is not touched. 0 <= from <= to <= kWidth.
inline Vec load_lanes(const float* p, int64_t from, int64_t to) { return {from < to ? *p : 0.0f}; }

inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
// When either is NaN the result is b, so min(limit, x) and max(limit, x) let a NaN in x through.
inline Vec min(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
inline Vec max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
inline Vec sqrt(Vec a) { return {__builtin_sqrtf(a.v)}; }
inline Vec abs(Vec a) { return {__builtin_fabsf(a.v)}; }
inline Vec neg(Vec a) { return {-a.v}; }
// To the nearest integer, ties to even; |a| < 2^22.
inline Vec round_small(Vec a) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23
  return {(a.v + kShift) - kShift};
}
// a * 2^n for an integer n in [-200, 200], rounded once, with gradual underflow and overflow to infinity.
inline Vec scale_by_power(Vec a, Vec n) {
  if (!(n.v == n.v)) return a;
  const int whole = static_cast<int>(n.v);
  const int half = whole >> 1;
  return {a.v * std::bit_cast<float>((half + 127) << 23) * std::bit_cast<float>((whole - half + 127) << 23)};
}
inline float sum_lanes(Vec a) { return a.v; }
inline float max_lanes(Vec a) { return a.v; }
inline void transpose(Vec (&)[kWidth]) {}
