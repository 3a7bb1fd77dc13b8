// SPDX-License-Identifier: Apache-2.0
// AVX-VNNI: vpdpbusd on 256 bits, sums in 32 bits without saturation on the way.

constexpr int kDotRows = 6;  // 6 x 2 sums + 2 vectors + 1 quad of 16 registers
constexpr int kDotVectors = 2;

constexpr int64_t kPackedQuad = 4;

struct Dot {
  using A = __m256i;
  using B = __m256i;
  static A one(const uint8_t* p) {
    int32_t quad;
    std::memcpy(&quad, p, 4);
    return _mm256_set1_epi32(quad);
  }
  static B lanes(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static IVec add(IVec sum, A a, B b) { return {_mm256_dpbusd_avx_epi32(sum.v, a, b)}; }
};
