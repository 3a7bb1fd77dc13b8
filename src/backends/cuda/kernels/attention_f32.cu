// SPDX-License-Identifier: Apache-2.0
// Attention in single precision on the ordinary cores: 64 queries a block of 256 threads, each with 4×4 scores.
#include "backends/cuda/device/math.cuh"
#include "backends/cuda/device/ptx.cuh"
#include "backends/cuda/kernels/attention.h"
#include "backends/cuda/kernels/launch.h"

namespace vitrail::cuda::detail {
namespace {

constexpr int kQueries = 64, kKeys = 64, kPad = 68;

// Shared memory: q and k transposed [d][kPad], v [key][kD], p transposed [key][kPad].
template <int kD>
__global__ void __launch_bounds__(256) attention_f32(const __grid_constant__ AttentionArgs a) {
  extern __shared__ __align__(16) float tiles[];
  float* const q_tile = tiles;
  float* const k_tile = q_tile + kD * kPad;
  float* const v_tile = k_tile + kD * kPad;
  float* const p_tile = v_tile + kKeys * kD;
  constexpr int kColumns = kD / 16;  // of the output, a thread
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  const int head = blockIdx.y, image = blockIdx.z, q0 = blockIdx.x * kQueries;
  let_next_kernel_start();
  wait_for_previous_kernel();
  const float* q = static_cast<const float*>(a.q) + int64_t{image} * a.sq * a.q_row + head * a.d;
  const float* k = static_cast<const float*>(a.k) + int64_t{image} * a.sk * a.k_row + head * a.d;
  const float* v = static_cast<const float*>(a.v) + int64_t{image} * a.sk * a.v_row + head * a.dv;
  for (int i = threadIdx.x; i < kQueries * kD; i += 256) {
    const int row = i / kD, column = i % kD;
    q_tile[column * kPad + row] = q0 + row < a.sq && column < a.d ? q[(q0 + row) * a.q_row + column] * a.scale : 0;
  }
  float out[4][kColumns] = {}, top[4], sum[4] = {};
  for (float& t : top) t = -INFINITY;

  for (int first = 0; first < a.sk; first += kKeys) {
    __syncthreads();
    for (int i = threadIdx.x; i < kKeys * kD; i += 256) {
      const int row = i / kD, column = i % kD;
      const bool inside = first + row < a.sk;
      k_tile[column * kPad + row] = inside && column < a.d ? k[(first + row) * a.k_row + column] : 0;
      v_tile[i] = inside && column < a.dv ? v[(first + row) * a.v_row + column] : 0;
    }
    __syncthreads();
    float s[4][4] = {};
#pragma unroll 8
    for (int d = 0; d < kD; ++d) {
      const float4 x = *reinterpret_cast<const float4*>(q_tile + d * kPad + ty * 4);
      const float4 y = *reinterpret_cast<const float4*>(k_tile + d * kPad + tx * 4);
      const float xs[4] = {x.x, x.y, x.z, x.w}, ys[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) s[i][j] = fmaf(xs[i], ys[j], s[i][j]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float row_top = top[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int key = first + tx * 4 + j;
        if (key >= a.sk)
          s[i][j] = -INFINITY;
        else if (a.mask)
          s[i][j] += a.mask[image * a.mask_b + head * a.mask_h + min(q0 + ty * 4 + i, a.sq - 1) * a.mask_q + key];
        row_top = fmaxf(row_top, s[i][j]);
      }
      for (int o = 8; o > 0; o /= 2) row_top = fmaxf(row_top, __shfl_xor_sync(~0u, row_top, o));
      const float shift = row_top == -INFINITY ? 0 : row_top;
      const float shrink = expf(top[i] - shift);
      top[i] = row_top;
      sum[i] *= shrink;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) out[i][c] *= shrink;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        s[i][j] = expf(s[i][j] - shift);
        sum[i] += s[i][j];
        p_tile[(tx * 4 + j) * kPad + ty * 4 + i] = s[i][j];
      }
    }
    __syncthreads();
#pragma unroll 8
    for (int key = 0; key < kKeys; ++key) {
      const float4 p = *reinterpret_cast<const float4*>(p_tile + key * kPad + ty * 4);
      const float ps[4] = {p.x, p.y, p.z, p.w};
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const float value = v_tile[key * kD + c * 16 + tx];
#pragma unroll
        for (int i = 0; i < 4; ++i) out[i][c] = fmaf(ps[i], value, out[i][c]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    for (int o = 8; o > 0; o /= 2) sum[i] += __shfl_xor_sync(~0u, sum[i], o);
    const int row = q0 + ty * 4 + i;
    if (row >= a.sq) continue;
    const float factor = sum[i] > 0 ? 1 / sum[i] : 0;
    float* to = static_cast<float*>(a.out) + (int64_t{image} * a.sq + row) * a.out_row + head * a.dv;
#pragma unroll
    for (int c = 0; c < kColumns; ++c)
      if (c * 16 + tx < a.dv) to[c * 16 + tx] = out[i][c] * factor;
  }
}

template <int kD>
cudaError_t launch_of(const AttentionArgs& a, cudaStream_t stream, bool dependent) {
  constexpr size_t kSmem = (2 * kD * kPad + kKeys * kD + kKeys * kPad) * sizeof(float);
  static const cudaError_t ready =
      cudaFuncSetAttribute(attention_f32<kD>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kSmem));
  if (ready != cudaSuccess) return ready;
  const dim3 grid((a.sq + kQueries - 1) / kQueries, a.heads, static_cast<unsigned>(a.batch));
  return launch(attention_f32<kD>, {grid, dim3(256), kSmem, 1, dependent}, stream, a);
}

}  // namespace

cudaError_t launch_attention_f32(const AttentionArgs& a, cudaStream_t stream, bool dependent) {
  const int widest = a.d > a.dv ? a.d : a.dv;
  if (widest <= 32) return launch_of<32>(a, stream, dependent);
  if (widest <= 64) return launch_of<64>(a, stream, dependent);
  if (widest <= 96) return launch_of<96>(a, stream, dependent);
  return launch_of<128>(a, stream, dependent);
}

}  // namespace vitrail::cuda::detail
