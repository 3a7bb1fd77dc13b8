// SPDX-License-Identifier: Apache-2.0
// Without VNNI: even and odd bytes widened to 16 bits apart and multiplied in pairs (vpmaddwd). vpmaddubsw
// would need no widening, but its sums of two saturate at 2^15, and 2 · 255 · 127 is twice that. A is widened
// once, when it is packed; B, of which there is more, by shifts for each block of rows.

constexpr int64_t kPackedQuad = 8;  // the even bytes as words, then the odd ones

struct Dot {
  struct A {
    Words even, odd;
  };
  using B = A;
  static A one(const uint8_t* p) { return {broadcast_quad(p), broadcast_quad(p + 4)}; }
  static B lanes(const uint8_t* p) {
    const Words x = load_words(p);
    return {shift_right_signed<8>(shift_left_words<8>(x)), shift_right_signed<8>(x)};
  }
  static IVec add(IVec sum, A a, B b) {
    return settle(sum + (multiply_pairs(a.even, b.even) + multiply_pairs(a.odd, b.odd)));
  }
};
