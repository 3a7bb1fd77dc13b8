// SPDX-License-Identifier: Apache-2.0
// The words of dot_widened.inl.h in 512 bits.

constexpr int kDotRows = 10;  // 10 x 2 sums, two halves of 2 vectors and of a quad, one product: 27 of 32
constexpr int kDotVectors = 2;

struct Words {
  __m512i v;
};

inline Words broadcast_quad(const uint8_t* p) {
  int32_t quad;
  std::memcpy(&quad, p, 4);
  return {_mm512_set1_epi32(quad)};
}
inline Words load_words(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
template <int kBits>
inline Words shift_left_words(Words x) {
  return {_mm512_slli_epi16(x.v, kBits)};
}
template <int kBits>
inline Words shift_right_signed(Words x) {
  return {_mm512_srai_epi16(x.v, kBits)};
}
inline IVec settle(IVec a) {
  __asm__("" : "+v"(a.v));
  return a;
}
inline IVec multiply_pairs(Words a, Words b) { return {_mm512_madd_epi16(a.v, b.v)}; }
