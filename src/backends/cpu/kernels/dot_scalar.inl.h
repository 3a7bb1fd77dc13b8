// SPDX-License-Identifier: Apache-2.0
// Dot products of quads of bytes: lane i of the sums grows by the product of one quad of unsigned bytes, the
// same for all lanes, and the quad of signed bytes of lane i, as in VNNI and AMX. dot_*.inl.h are twins; all
// give the same integers.

constexpr int kDotRows = 4;
constexpr int kDotVectors = 4;

constexpr int64_t kPackedQuad = 4;  // bytes of a quad of A as one() reads it

struct Dot {
  struct A {
    uint8_t v[4];
  };
  struct B {
    int8_t v[4];
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
