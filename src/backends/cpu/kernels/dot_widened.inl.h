// SPDX-License-Identifier: Apache-2.0
// Without VNNI: even and odd bytes widened to 16 bits apart and multiplied in pairs (vpmaddwd). vpmaddubsw
// would need no widening, but its sums of two saturate at 2^15, and 2 · 255 · 127 is twice that. Included
// after Words: widen16's two halves and the multiply-add of this width.

template <bool kSigned>
inline Halves widen(Words x) {
  if constexpr (kSigned) return {shift_right_signed<8>(shift_left_words<8>(x)), shift_right_signed<8>(x)};
  return {low_bytes(x), shift_right_unsigned<8>(x)};
}

template <bool kSignedOne>
struct Dot {
  using A = Halves;
  using B = Halves;
  static A one(const uint8_t* p) { return widen<kSignedOne>(broadcast_quad(p)); }
  static B lanes(const uint8_t* p) { return widen<!kSignedOne>(load_words(p)); }
  static IVec add(IVec sum, A a, B b) {
    return sum + (multiply_pairs(a.even, b.even) + multiply_pairs(a.odd, b.odd));
  }
};
using UnsignedBySigned = Dot<false>;
using SignedByUnsigned = Dot<true>;
