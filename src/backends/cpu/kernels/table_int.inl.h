// SPDX-License-Identifier: Apache-2.0
// The products of bytes of the instruction set whose region includes this.

constexpr IntegerKernels make_integer_kernels() { return {kDotRows, kDotStrip, pack_quads, gemm_u8s8_strip}; }
