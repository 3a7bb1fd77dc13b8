// SPDX-License-Identifier: Apache-2.0
#include <type_traits>

#include "backends/cuda/device/math.cuh"
#include "backends/cuda/device/mma.cuh"
#include "backends/cuda/kernels/attention.h"
#include "backends/cuda/kernels/launch.h"

namespace vitrail::cuda::detail {
namespace {

constexpr int kKeys = 64;  // of a block of keys and values in shared memory
constexpr float kLog2E = 1.4426950408889634f;

// Elements of a row in shared memory; the 16 bytes more keep ldmatrix free of bank conflicts.
template <int kD>
constexpr int kRow = kD + 8;
template <int kD>
constexpr int kTile = kKeys * kRow<kD>;

// One warp owns 16 queries; the warps of a block share the keys and values, which come in two alternating tiles. With
// kSplitKeys the warps share the 16 queries instead, each has its own tiles and takes every warps-th block of keys, and
// their results are merged at the end: the shape for batches too small to fill the machine.
template <class T, int kD, bool kSplitKeys>
__global__ void __launch_bounds__(256) attention(const __grid_constant__ AttentionArgs a) {
  extern __shared__ __align__(16) uint8_t dynamic[];
  T* const tiles = reinterpret_cast<T*>(dynamic);  // [2][k, v][kKeys][kRow]
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const int head = blockIdx.y, image = blockIdx.z;
  const int q0 = (kSplitKeys ? blockIdx.x : blockIdx.x * warps + warp) * 16;
  const int loader = kSplitKeys ? lane : threadIdx.x, loaders = kSplitKeys ? 32 : blockDim.x;
  const T* k = static_cast<const T*>(a.k) + int64_t{image} * a.sk * a.k_row + head * a.d;
  const T* v = static_cast<const T*>(a.v) + int64_t{image} * a.sk * a.v_row + head * a.dv;
  let_next_kernel_start();
  wait_for_previous_kernel();

  auto load_block = [&](int block) {
    T* const k_tile = tiles + (kSplitKeys ? warp : block & 1) * 2 * kTile<kD>;
    T* const v_tile = k_tile + kTile<kD>;
    const int first = block * kKeys, rows = min(kKeys, (a.sk - first + 15) / 16 * 16);
    for (int i = loader; i < rows * (kD / 8); i += loaders) {
      const int row = i / (kD / 8), column = i % (kD / 8) * 8, key = min(first + row, a.sk - 1);
      const bool inside = first + row < a.sk;
      copy_async_16(k_tile + row * kRow<kD> + column, k + key * a.k_row + min(column, a.d - 8),
                    inside && column < a.d);
      copy_async_16(v_tile + row * kRow<kD> + column, v + key * a.v_row + min(column, a.dv - 8),
                    inside && column < a.dv);
    }
    copy_async_commit();
  };
  const int blocks = (a.sk + kKeys - 1) / kKeys;
  if (!kSplitKeys || warp < blocks) load_block(kSplitKeys ? warp : 0);

  uint32_t q[kD / 16][4];
  {
    const T* rows = static_cast<const T*>(a.q) + int64_t{image} * a.sq * a.q_row + head * a.d;
    const T* upper = rows + min(q0 + lane / 4, a.sq - 1) * a.q_row;
    const T* lower = rows + min(q0 + lane / 4 + 8, a.sq - 1) * a.q_row;
#pragma unroll
    for (int i = 0; i < kD / 16; ++i)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int column = i * 16 + h * 8 + lane % 4 * 2;
        const bool inside = column < a.d;
        q[i][h * 2] = inside ? *reinterpret_cast<const uint32_t*>(upper + column) : 0;
        q[i][h * 2 + 1] = inside ? *reinterpret_cast<const uint32_t*>(lower + column) : 0;
      }
  }

  float out[kD / 8][4] = {};
  float top[2] = {-INFINITY, -INFINITY}, sum[2] = {};  // of rows lane/4 and lane/4 + 8
  const float scale = a.scale * kLog2E, mask_scale = 1 / a.scale;
  // One block of keys; only the last may hold fewer than kKeys.
  auto attend = [&](int block, auto is_tail) {
    constexpr bool kTail = decltype(is_tail)::value;
    const int valid = kTail ? a.sk - block * kKeys : kKeys;
    const uint32_t k_tile = smem_address(tiles + (kSplitKeys ? warp : block & 1) * 2 * kTile<kD>);
    const uint32_t v_tile = k_tile + kTile<kD> * sizeof(T);

    float s[kKeys / 8][4] = {};
    const uint32_t k_lane = k_tile + ((lane / 16 * 8 + lane % 8) * kRow<kD> + lane / 8 % 2 * 8) * sizeof(T);
#pragma unroll
    for (int n = 0; n < kKeys / 16; ++n) {
      if (kTail && n * 16 >= valid) break;
#pragma unroll
      for (int i = 0; i < kD / 16; ++i) {
        uint32_t b[4];
        load_matrices(b, k_lane + (n * 16 * kRow<kD> + i * 16) * sizeof(T));
        mma_16x8x16<T>(s[2 * n], q[i], b[0], b[1]);
        mma_16x8x16<T>(s[2 * n + 1], q[i], b[2], b[3]);
      }
    }
    if (kTail || a.mask) {
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int key = block * kKeys + n * 8 + lane % 4 * 2 + i % 2;
          if (kTail && key >= a.sk)
            s[n][i] = -INFINITY;
          else if (a.mask)
            s[n][i] += a.mask[image * a.mask_b + head * a.mask_h +
                              min(q0 + lane / 4 + i / 2 * 8, a.sq - 1) * a.mask_q + key] * mask_scale;
        }
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float row_top = top[h];
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) row_top = fmaxf(row_top, fmaxf(s[n][2 * h], s[n][2 * h + 1]));
      row_top = fmaxf(row_top, __shfl_xor_sync(~0u, row_top, 1));
      row_top = fmaxf(row_top, __shfl_xor_sync(~0u, row_top, 2));
      const float shift = row_top == -INFINITY ? 0 : row_top * scale;
      const float shrink = exp2_fast(top[h] * scale - shift);
      top[h] = row_top;
      sum[h] *= shrink;
#pragma unroll
      for (int n = 0; n < kD / 8; ++n) {
        out[n][2 * h] *= shrink;
        out[n][2 * h + 1] *= shrink;
      }
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
        s[n][2 * h] = exp2_fast(fmaf(s[n][2 * h], scale, -shift));
        s[n][2 * h + 1] = exp2_fast(fmaf(s[n][2 * h + 1], scale, -shift));
        sum[h] += s[n][2 * h] + s[n][2 * h + 1];
      }
    }
    const uint32_t v_lane = v_tile + ((lane / 8 % 2 * 8 + lane % 8) * kRow<kD> + lane / 16 * 8) * sizeof(T);
#pragma unroll
    for (int i = 0; i < kKeys / 16; ++i) {
      if (kTail && i * 16 >= valid) break;
      const uint32_t p[4] = {Pair<T>::pack(s[2 * i][0], s[2 * i][1]), Pair<T>::pack(s[2 * i][2], s[2 * i][3]),
                             Pair<T>::pack(s[2 * i + 1][0], s[2 * i + 1][1]),
                             Pair<T>::pack(s[2 * i + 1][2], s[2 * i + 1][3])};
#pragma unroll
      for (int n = 0; n < kD / 16; ++n) {
        uint32_t b[4];
        load_matrices_transposed(b, v_lane + (i * 16 * kRow<kD> + n * 16) * sizeof(T));
        mma_16x8x16<T>(out[2 * n], p, b[0], b[1]);
        mma_16x8x16<T>(out[2 * n + 1], p, b[2], b[3]);
      }
    }
  };
  for (int block = kSplitKeys ? warp : 0; block < blocks; block += kSplitKeys ? warps : 1) {
    copy_async_wait<0>();
    if constexpr (kSplitKeys) {
      __syncwarp();
    } else {
      __syncthreads();
      if (block + 1 < blocks) load_block(block + 1);
    }
    if ((block + 1) * kKeys <= a.sk)
      attend(block, std::false_type());
    else
      attend(block, std::true_type());
    if (kSplitKeys && block + warps < blocks) {
      __syncwarp();
      load_block(block + warps);
    }
  }
  auto store = [&](int row, int column, float x, float y) {
    if (row >= a.sq || column >= a.dv) return;
    const int64_t at = (int64_t{image} * a.sq + row) * a.out_row + head * a.dv + column;
    if (type_size(a.out_type) == 1)
      *reinterpret_cast<uint16_t*>(static_cast<uint8_t*>(a.out) + at) =
          pack8(fmaf(x, a.out_scale, a.out_zero), fmaf(y, a.out_scale, a.out_zero), a.out_type);
    else
      *reinterpret_cast<uint32_t*>(static_cast<T*>(a.out) + at) = Pair<T>::pack(x, y);
  };
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    sum[h] += __shfl_xor_sync(~0u, sum[h], 1);
    sum[h] += __shfl_xor_sync(~0u, sum[h], 2);
  }
  if constexpr (!kSplitKeys) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float factor = sum[h] > 0 ? 1 / sum[h] : 0;
#pragma unroll
      for (int n = 0; n < kD / 8; ++n)
        store(q0 + lane / 4 + h * 8, n * 8 + lane % 4 * 2, out[n][2 * h] * factor, out[n][2 * h + 1] * factor);
    }
  } else {
    constexpr int kPart = kD + 4;  // floats of a row: the output so far, its top score and its sum
    float* const parts = reinterpret_cast<float*>(dynamic);  // [warp][16][kPart]
    __syncthreads();
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float* const part = parts + (warp * 16 + lane / 4 + h * 8) * kPart;
#pragma unroll
      for (int n = 0; n < kD / 8; ++n)
        *reinterpret_cast<float2*>(part + n * 8 + lane % 4 * 2) = make_float2(out[n][2 * h], out[n][2 * h + 1]);
      if (lane % 4 == 0) part[kD] = top[h], part[kD + 1] = sum[h];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * kD / 2; i += blockDim.x) {
      const int row = i / (kD / 2), column = i % (kD / 2) * 2;
      const float* part = parts + row * kPart;
      float highest = -INFINITY, total = 0;
      float2 merged = {0, 0};
      for (int w = 0; w < warps; ++w) highest = fmaxf(highest, part[w * 16 * kPart + kD]);
      const float shift = highest == -INFINITY ? 0 : highest * scale;
      for (int w = 0; w < warps; ++w, part += 16 * kPart) {
        const float weight = exp2_fast(fmaf(part[kD], scale, -shift));
        const float2 o = *reinterpret_cast<const float2*>(part + column);
        total += weight * part[kD + 1];
        merged.x += weight * o.x;
        merged.y += weight * o.y;
      }
      const float factor = total > 0 ? 1 / total : 0;
      store(q0 + row, column, merged.x * factor, merged.y * factor);
    }
  }
}

template <class T, int kD, bool kSplitKeys>
cudaError_t launch_of(const AttentionArgs& a, int warps, cudaStream_t stream, bool dependent) {
  auto* kernel = attention<T, kD, kSplitKeys>;
  const size_t smem = (kSplitKeys ? warps : 2) * 2 * kTile<kD> * sizeof(T);
  static const cudaError_t ready = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                        static_cast<int>(8 * kTile<kD> * sizeof(T)));
  if (ready != cudaSuccess) return ready;
  const int queries = kSplitKeys ? 16 : 16 * warps;
  const dim3 grid((a.sq + queries - 1) / queries, a.heads, static_cast<unsigned>(a.batch));
  return launch(kernel, {grid, dim3(32 * warps), smem, 1, dependent}, stream, a);
}

template <class T, int kD>
cudaError_t launch_of(const AttentionArgs& a, int warps, cudaStream_t stream, bool dependent) {
  // warps < 0: that many share the keys.
  return warps < 0 ? launch_of<T, kD, true>(a, -warps, stream, dependent)
                   : launch_of<T, kD, false>(a, warps, stream, dependent);
}

template <class T>
cudaError_t launch_type(const AttentionArgs& a, int warps, cudaStream_t stream, bool dependent) {
  const int widest = a.d > a.dv ? a.d : a.dv;
  if (widest <= 32) return launch_of<T, 32>(a, warps, stream, dependent);
  if (widest <= 64) return launch_of<T, 64>(a, warps, stream, dependent);
  if (widest <= 96) return launch_of<T, 96>(a, warps, stream, dependent);
  return launch_of<T, 128>(a, warps, stream, dependent);
}

}  // namespace

cudaError_t launch_attention_half(const AttentionPlan& plan, cudaStream_t stream, bool dependent) {
  const AttentionArgs& a = plan.args;
  const int warps = plan.kernel == AttentionPlan::kSplitKeys ? -plan.warps : plan.warps;
  return a.type == Type::kF16 ? launch_type<__half>(a, warps, stream, dependent)
                              : launch_type<__nv_bfloat16>(a, warps, stream, dependent);
}

}  // namespace vitrail::cuda::detail
