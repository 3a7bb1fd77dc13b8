// SPDX-License-Identifier: Apache-2.0
// The words of dot_widened.inl.h in 256 bits.

constexpr int kDotRows = 4;  // 4 x 2 sums, two halves of 2 vectors and of a quad, one product: 15 of 16
constexpr int kDotVectors = 2;

struct Words {
  __m256i v;
};

inline Words broadcast_quad(const uint8_t* p) {
  int32_t quad;
  std::memcpy(&quad, p, 4);
  return {_mm256_set1_epi32(quad)};
}
inline Words load_words(const uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
template <int kBits>
inline Words shift_left_words(Words x) {
  return {_mm256_slli_epi16(x.v, kBits)};
}
template <int kBits>
inline Words shift_right_signed(Words x) {
  return {_mm256_srai_epi16(x.v, kBits)};
}
// Ends an expression: else the compiler sums the products of several steps in another order, for which the
// registers do not suffice.
inline IVec settle(IVec a) {
  __asm__("" : "+x"(a.v));
  return a;
}
inline IVec multiply_pairs(Words a, Words b) { return {_mm256_madd_epi16(a.v, b.v)}; }
