// SPDX-License-Identifier: Apache-2.0
// Dot products of quads of bytes: lane i of the sums grows by the product of one quad, the same for all
// lanes, and the quad of lane i. One side is unsigned, the other signed, as in VNNI and AMX. dot_*.inl.h are
// twins; all give the same integers.

constexpr int kDotRows = 4;
constexpr int kDotVectors = 4;

template <class One, class Lanes>
struct Dot {
  struct A {
    One v[4];
  };
  struct B {
    Lanes v[4];
  };
  static A one(const uint8_t* p) {
    A a;
    std::memcpy(&a, p, 4);
    return a;
  }
  static B lanes(const uint8_t* p) {
    B b;
    std::memcpy(&b, p, 4);
    return b;
  }
  static IVec add(IVec sum, A a, B b) {
    for (int i = 0; i < 4; ++i) sum.v += int32_t{a.v[i]} * int32_t{b.v[i]};
    return sum;
  }
};
using UnsignedBySigned = Dot<uint8_t, int8_t>;  // of the one quad by the lanes'
using SignedByUnsigned = Dot<int8_t, uint8_t>;
