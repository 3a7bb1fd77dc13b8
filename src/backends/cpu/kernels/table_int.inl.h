// SPDX-License-Identifier: Apache-2.0
// The products of bytes of the instruction set whose region includes this.

constexpr IntegerKernels make_integer_kernels() {
  return {kBlockRows, kBlockStrip, kBlockStep,      kExpansion,         kBlockChunk,
          kReadsRows, pack_block,  gemm_u8s8_strip, byte_attention_head};
}
