// SPDX-License-Identifier: Apache-2.0
// Attention for heads of 64 on Hopper: two warpgroups of 64 queries share the keys and values, which the copy engine
// brings in blocks of kN; both products run on warpgroup instructions, the second with its left side in registers
// (Shah et al. 2024, FlashAttention-3).
#include <cstring>

#include "backends/cuda/device/math.cuh"
#include "backends/cuda/device/wgmma.cuh"
#include "backends/cuda/kernels/attention.h"
#include "backends/cuda/kernels/launch.h"

namespace vitrail::cuda::detail {
namespace {

struct Maps {
  CUtensorMap q, k, v, out;
};

constexpr int kQueries = 64, kD = 64, kTileBytes = kQueries * 128;
constexpr float kLog2E = 1.4426950408889634f;

template <int kN>
constexpr int kBlockBytes = kN * 128;
template <int kN>
constexpr int kSmem = 1024 + 4 * kBlockBytes<kN> + 2 * kTileBytes + 128;

template <class T, int kN>
__global__ void __launch_bounds__(256, 2)
    attention_hopper(const __grid_constant__ Maps maps, const __grid_constant__ AttentionArgs a) {
#if __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ uint8_t dynamic[];
  uint8_t* smem = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(dynamic) + 1023) & ~uintptr_t{1023});
  uint8_t* const k_blocks = smem;
  uint8_t* const v_blocks = k_blocks + 2 * kBlockBytes<kN>;
  uint8_t* const q_tiles = v_blocks + 2 * kBlockBytes<kN>;
  auto* filled = reinterpret_cast<uint64_t*>(q_tiles + 2 * kTileBytes);
  uint64_t *emptied = filled + 2, *q_filled = filled + 4;

  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x / 128), 0);
  const int thread = threadIdx.x % 128, lane = thread % 32, warp = thread / 32;
  const bool leader = thread == 0;
  const int head = blockIdx.y, image = blockIdx.z;
  const int tiles = (a.sq + kQueries - 1) / kQueries, blocks = (a.sk + kN - 1) / kN;
  const int first = blockIdx.x * 2;
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; ++i) {
      barrier_init(filled + i, 1);
      barrier_init(emptied + i, min(2, tiles - first));
      barrier_init(q_filled + i, 1);
    }
    barrier_init_fence();
  }
  __syncthreads();
  let_next_kernel_start();
  wait_for_previous_kernel();

  auto load_block = [&](int block) {
    const int s = block & 1;
    barrier_expect(filled + s, 2 * kBlockBytes<kN>);
    tensor_load(k_blocks + s * kBlockBytes<kN>, &maps.k, filled + s, head * kD, block * kN, image);
    tensor_load(v_blocks + s * kBlockBytes<kN>, &maps.v, filled + s, head * kD, block * kN, image);
  };
  if (threadIdx.x == 0)
    for (int block = 0; block < min(2, blocks); ++block) load_block(block);

  uint8_t* const q_tile = q_tiles + warpgroup * kTileBytes;
  const float scale = a.scale * kLog2E, mask_scale = 1 / a.scale;
  uint32_t turn = 0;
  for (int tile = first + warpgroup; tile < tiles; tile += 2 * gridDim.x, ++turn) {
    const int q0 = tile * kQueries;
    if (leader) {
      bulk_wait_read<0>();  // the tile's place still holds the last output
      barrier_expect(q_filled + warpgroup, kTileBytes);
      tensor_load(q_tile, &maps.q, q_filled + warpgroup, head * kD, q0, image);
    }
    float out[32] = {};
    float top[2] = {-INFINITY, -INFINITY}, sum[2] = {};
    barrier_wait(q_filled + warpgroup, turn & 1);
#pragma unroll 1
    for (int block = 0; block < blocks; ++block) {
      const int s = block & 1;
      barrier_wait(filled + s, block >> 1 & 1);
      float scores[kN / 2];
      const uint64_t dq = operand_descriptor(q_tile), dk = operand_descriptor(k_blocks + s * kBlockBytes<kN>);
      wgmma_fence();
#pragma unroll
      for (int kk = 0; kk < 4; ++kk) Wgmma<T, kN>::run(scores, dq + 2 * kk, dk + 2 * kk, kk);
      wgmma_commit();
      wgmma_wait<0>();
      wgmma_pin(scores);

      const int valid = a.sk - block * kN;
      if (a.mask) {
        const float* row = a.mask + image * a.mask_b + head * a.mask_h + block * kN;
#pragma unroll
        for (int i = 0; i < kN / 2; ++i) {
          const int column = i / 4 * 8 + lane % 4 * 2 + i % 2;
          const int query = min(q0 + warp * 16 + lane / 4 + i / 2 % 2 * 8, a.sq - 1);
          scores[i] += row[query * a.mask_q + min(column, valid - 1)] * mask_scale;
        }
      }
      if (valid < kN) {
#pragma unroll
        for (int i = 0; i < kN / 2; ++i)
          if (i / 4 * 8 + lane % 4 * 2 + i % 2 >= valid) scores[i] = -INFINITY;
      }
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
      uint32_t p[kN / 16][4];
#pragma unroll
      for (int i = 0; i < kN / 16; ++i)
#pragma unroll
        for (int r = 0; r < 4; ++r) p[i][r] = Pair<T>::pack(scores[i * 8 + r * 2], scores[i * 8 + r * 2 + 1]);
      const uint64_t dv = operand_descriptor(v_blocks + s * kBlockBytes<kN>);
      wgmma_pin(out);
      wgmma_fence();
#pragma unroll
      for (int i = 0; i < kN / 16; ++i) wgmma_from_registers<T>(out, p[i], dv + 128 * i);
      wgmma_commit();
      wgmma_wait<0>();
      wgmma_pin(out);
      if (block + 2 < blocks) {
        if (leader) barrier_arrive(emptied + s);
        if (threadIdx.x == 0) {
          barrier_wait(emptied + s, block >> 1 & 1);
          load_block(block + 2);
        }
      }
    }

#pragma unroll
    for (int h = 0; h < 2; ++h) {
      sum[h] += __shfl_xor_sync(~0u, sum[h], 1);
      sum[h] += __shfl_xor_sync(~0u, sum[h], 2);
      sum[h] = sum[h] > 0 ? 1 / sum[h] : 0;
    }
    if (a.out_type == Type::kE4M3 || a.out_type == Type::kS8) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = q0 + warp * 16 + lane / 4 + h * 8;
        if (row >= a.sq) continue;
        auto* to = static_cast<uint8_t*>(a.out) + (int64_t{image} * a.sq + row) * a.out_row + head * kD + lane % 4 * 2;
#pragma unroll
        for (int j = 0; j < 8; ++j)
          *reinterpret_cast<uint16_t*>(to + j * 8) =
              pack8(fmaf(out[j * 4 + 2 * h] * sum[h], a.out_scale, a.out_zero),
                    fmaf(out[j * 4 + 2 * h + 1] * sum[h], a.out_scale, a.out_zero), a.out_type);
      }
    } else {
      named_barrier(1 + warpgroup, 128);  // all have read the queries, whose place the output takes
      const uint32_t corner = smem_address(q_tile) + (warp * 16 + lane / 4) * 128 + lane % 4 * 4;
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int h = 0; h < 2; ++h)
          store_shared(corner + h * 1024 + ((j ^ lane / 4) << 4),
                       Pair<T>::pack(out[j * 4 + 2 * h] * sum[h], out[j * 4 + 2 * h + 1] * sum[h]));
      fence_async_proxy();
      named_barrier(1 + warpgroup, 128);
      if (leader) {
        tensor_store(&maps.out, q_tile, head * kD, q0, image);
        bulk_commit();
      }
    }
  }
  if (leader) bulk_wait_all();
#endif
}

template <class T, int kN>
cudaError_t launch_of(const AttentionPlan& plan, cudaStream_t stream, bool dependent) {
  auto* kernel = attention_hopper<T, kN>;
  static const cudaError_t ready = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSmem<kN>);
  if (ready != cudaSuccess) return ready;
  const AttentionArgs& a = plan.args;
  Maps maps;
  std::memcpy(&maps, plan.maps, sizeof(maps));
  const dim3 grid(plan.blocks, a.heads, static_cast<unsigned>(a.batch));
  return launch(kernel, {grid, dim3(256), kSmem<kN>, 1, 0, dependent}, stream, maps, a);
}

template <class T>
cudaError_t launch_type(const AttentionPlan& plan, cudaStream_t stream, bool dependent) {
  switch (plan.keys) {
    case 64:
      return launch_of<T, 64>(plan, stream, dependent);
    case 96:
      return launch_of<T, 96>(plan, stream, dependent);
    case 112:
      return launch_of<T, 112>(plan, stream, dependent);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace

cudaError_t launch_attention_hopper(const AttentionPlan& plan, cudaStream_t stream, bool dependent) {
  return plan.args.type == Type::kF16 ? launch_type<__half>(plan, stream, dependent)
                                      : launch_type<__nv_bfloat16>(plan, stream, dependent);
}

}  // namespace vitrail::cuda::detail
