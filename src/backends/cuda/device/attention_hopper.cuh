// SPDX-License-Identifier: Apache-2.0
// Steps of attention for heads of 64 on Hopper that both of its kernels take: a warpgroup, 64 queries, a block of kN keys.
#pragma once

#include <cuda.h>

#include "backends/cuda/device/math.cuh"
#include "backends/cuda/device/wgmma.cuh"
#include "backends/cuda/kernels/types.h"

namespace vitrail::cuda {

struct AttentionMaps {
  CUtensorMap q, k, v, out;
};

#if __CUDA_ARCH_FEAT_SM90_ALL
constexpr int kHeadQueries = 64, kHeadSize = 64, kHeadTile = kHeadQueries * 128;  // bytes
constexpr float kLog2E = 1.4426950408889634f;

// Where a thread's values of a block of scores or outputs lie: value i in column i / 4 * 8 + lane % 4 * 2 + i % 2 of row
// warp * 16 + lane / 4 + i / 2 % 2 * 8.
template <int kN>
struct HeadRows {
  float out[32] = {};
  float top[2] = {-INFINITY, -INFINITY}, sum[2] = {};  // of rows lane / 4 and + 8; sums of this thread's columns only

  template <class T>
  static __device__ __forceinline__ void multiply_keys(float (&scores)[kN / 2], const uint8_t* q_tile, const uint8_t* k_block) {
    const uint64_t dq = operand_descriptor(q_tile), dk = operand_descriptor(k_block);
    wgmma_fence();
#pragma unroll
    for (int kk = 0; kk < 4; ++kk) Wgmma<T, kN>::run(scores, dq + 2 * kk, dk + 2 * kk, kk);
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_pin(scores);
  }

  // Adds the mask, and hides the keys behind the last; `row` is this thread's first query.
  static __device__ __forceinline__ void mask(float (&scores)[kN / 2], const AttentionArgs& a, int image, int head, int row,
                                              int first_key) {
    const int lane = threadIdx.x % 32, valid = a.sk - first_key;
    if (a.mask) {
      const float* from = a.mask + image * a.mask_b + head * a.mask_h + first_key;
      const float mask_scale = 1 / a.scale;
#pragma unroll
      for (int i = 0; i < kN / 2; ++i) {
        const int column = i / 4 * 8 + lane % 4 * 2 + i % 2;
        scores[i] += from[min(row + i / 2 % 2 * 8, a.sq - 1) * a.mask_q + min(column, valid - 1)] * mask_scale;
      }
    }
    if (valid < kN) {
#pragma unroll
      for (int i = 0; i < kN / 2; ++i)
        if (i / 4 * 8 + lane % 4 * 2 + i % 2 >= valid) scores[i] = -INFINITY;
    }
  }

  // Scores become their exponentials, relative to the greatest of the row so far. `scale`: of the scores, times log2(e).
  __device__ __forceinline__ void exponentiate(float (&scores)[kN / 2], float scale) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float row_top = top[h];
#pragma unroll
      for (int j = 0; j < kN / 8; ++j) row_top = fmaxf(row_top, fmaxf(scores[j * 4 + 2 * h], scores[j * 4 + 2 * h + 1]));
      row_top = fmaxf(row_top, __shfl_xor_sync(~0u, row_top, 1));
      row_top = fmaxf(row_top, __shfl_xor_sync(~0u, row_top, 2));
      const float shift = row_top == -INFINITY ? 0 : row_top * scale;
      const float shrink = exp2_fast(fmaf(top[h], scale, -shift));
      top[h] = row_top;
      sum[h] *= shrink;
#pragma unroll
      for (int j = 0; j < 8; ++j) out[j * 4 + 2 * h] *= shrink, out[j * 4 + 2 * h + 1] *= shrink;
#pragma unroll
      for (int j = 0; j < kN / 8; ++j) {
        float &x = scores[j * 4 + 2 * h], &y = scores[j * 4 + 2 * h + 1];
        x = exp2_fast(fmaf(x, scale, -shift));
        y = exp2_fast(fmaf(y, scale, -shift));
        sum[h] += x + y;
      }
    }
  }

  template <class T>
  __device__ __forceinline__ void multiply_values(const float (&scores)[kN / 2], const uint8_t* v_block) {
    uint32_t p[kN / 16][4];
#pragma unroll
    for (int i = 0; i < kN / 16; ++i)
#pragma unroll
      for (int r = 0; r < 4; ++r) p[i][r] = Pair<T>::pack(scores[i * 8 + r * 2], scores[i * 8 + r * 2 + 1]);
    const uint64_t dv = operand_descriptor(v_block);
    wgmma_pin(out);
    wgmma_fence();
#pragma unroll
    for (int i = 0; i < kN / 16; ++i) wgmma_from_registers<T>(out, p[i], dv + 128 * i);
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_pin(out);
  }

  __device__ __forceinline__ void sum_columns() {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      sum[h] += __shfl_xor_sync(~0u, sum[h], 1);
      sum[h] += __shfl_xor_sync(~0u, sum[h], 2);
    }
  }

  // To a tile that the copy engine stores: swizzled rows of 128 bytes.
  template <class T>
  __device__ __forceinline__ void store(uint8_t* tile, const float (&factor)[2]) const {
    const int lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
    const uint32_t corner = smem_address(tile) + (warp * 16 + lane / 4) * 128 + lane % 4 * 4;
#pragma unroll
    for (int j = 0; j < 8; ++j)
#pragma unroll
      for (int h = 0; h < 2; ++h)
        store_shared(corner + h * 1024 + ((j ^ lane / 4) << 4),
                     Pair<T>::pack(out[j * 4 + 2 * h] * factor[h], out[j * 4 + 2 * h + 1] * factor[h]));
  }

  // To memory, eight bits an element; `row` is this thread's first query.
  __device__ __forceinline__ void store_bytes(const AttentionArgs& a, int image, int head, int row, const float (&factor)[2]) const {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      if (row + h * 8 >= a.sq) continue;
      auto* to = static_cast<uint8_t*>(a.out) + (int64_t{image} * a.sq + row + h * 8) * a.out_row + head * kHeadSize +
                 threadIdx.x % 4 * 2;
#pragma unroll
      for (int j = 0; j < 8; ++j)
        *reinterpret_cast<uint16_t*>(to + j * 8) = pack8(fmaf(out[j * 4 + 2 * h] * factor[h], a.out_scale, a.out_zero),
                                                         fmaf(out[j * 4 + 2 * h + 1] * factor[h], a.out_scale, a.out_zero),
                                                         a.out_type);
    }
  }
};
#endif

}  // namespace vitrail::cuda
