// SPDX-License-Identifier: Apache-2.0
// AVX512-VNNI: vpdpbusd on 512 bits, sums in 32 bits without saturation on the way.

// Two a cycle at 4 cycles latency need 8 sums; 14 x 2 of the 32 registers also keep the loads (14 quads + 2
// vectors for 28 products) far below what L1 gives.
constexpr int kDotRows = 14;
constexpr int kDotVectors = 2;

constexpr int64_t kPackedQuad = 4;

struct Dot {
  using A = __m512i;
  using B = __m512i;
  static A one(const uint8_t* p) {
    int32_t quad;
    std::memcpy(&quad, p, 4);
    return _mm512_set1_epi32(quad);
  }
  static B lanes(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static IVec add(IVec sum, A a, B b) { return {_mm512_dpbusd_epi32(sum.v, a, b)}; }
};
