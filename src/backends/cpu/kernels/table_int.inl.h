// SPDX-License-Identifier: Apache-2.0
// The products of bytes of the instruction set whose region includes this.

// The most that the products of bytes can reach: one full block times one strip, over and over.
inline int32_t product_loop(int64_t rounds, int64_t* ops) {
  constexpr int64_t kBytes = 512;  // of K: long beside what starts and ends a tile
  alignas(64) uint8_t ones[kBlockRows * kBytes];
  alignas(64) uint8_t a[kBlockRows * kBytes * kExpansion];
  alignas(64) uint8_t b[kBlockStrip * kBytes];
  alignas(64) int32_t start[kBlockStrip] = {};
  alignas(64) int32_t sums[kBlockRows * kBlockStrip];
  std::memset(ones, 1, sizeof ones);
  int64_t bytes = kBytes;
  __asm__("" : "+r"(bytes));  // GCC warns of loops that it unrolls for a known number
  pack_block(ones, kBytes, kBlockRows, bytes, 0, a);
  std::memset(b, 1, sizeof b);
  BlockProduct product;
  for (int64_t n = 0; n < rounds; ++n) {
    product(kBlockRows, kBlockStrip / kPanel, kBytes, a, b, kPanel * kBytes, start, sums, kBlockStrip);
    __asm__ volatile("" ::: "memory");  // every round counts
  }
  *ops = rounds * 2 * kBlockRows * kBlockStrip * kBytes;
  return sums[0];
}

constexpr IntegerKernels make_integer_kernels() {
  return {kBlockRows, kBlockStrip, kBlockStep,      kExpansion,          kBlockChunk,
          kReadsRows, pack_block,  gemm_u8s8_strip, byte_attention_head, product_loop};
}
