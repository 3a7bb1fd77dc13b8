// SPDX-License-Identifier: Apache-2.0
// Attention for heads of 64 on Hopper, both products on warpgroup instructions, the second with its left side in registers
// (Shah et al. 2024, FlashAttention-3). The copy engine brings keys and values in blocks of kN.
#include "backends/cuda/device/attention_hopper.cuh"

#include <cstring>

#include "backends/cuda/kernels/attention.h"
#include "backends/cuda/kernels/launch.h"

namespace vitrail::cuda::detail {
namespace {

constexpr int kTileBytes = 64 * 128;
template <int kN>
constexpr int kBlockBytes = kN * 128;
template <int kN>
constexpr int kSmem = 1024 + 4 * kBlockBytes<kN> + 2 * kTileBytes + 128;

// Two warpgroups of 64 queries share the keys and values, which come through two places.
template <class T, int kN>
__global__ void __launch_bounds__(256, 2)
    attention_hopper(const __grid_constant__ AttentionMaps maps, const __grid_constant__ AttentionArgs a) {
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
  const int tiles = (a.sq + kHeadQueries - 1) / kHeadQueries, blocks = (a.sk + kN - 1) / kN;
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
    tensor_load(k_blocks + s * kBlockBytes<kN>, &maps.k, filled + s, head * kHeadSize, block * kN, image);
    tensor_load(v_blocks + s * kBlockBytes<kN>, &maps.v, filled + s, head * kHeadSize, block * kN, image);
  };
  if (threadIdx.x == 0)
    for (int block = 0; block < min(2, blocks); ++block) load_block(block);

  uint8_t* const q_tile = q_tiles + warpgroup * kTileBytes;
  const float scale = a.scale * kLog2E;
  uint32_t turn = 0;
  for (int tile = first + warpgroup; tile < tiles; tile += 2 * gridDim.x, ++turn) {
    const int q0 = tile * kHeadQueries, row = q0 + warp * 16 + lane / 4;
    if (leader) {
      bulk_wait_read<0>();  // the tile's place still holds the last output
      barrier_expect(q_filled + warpgroup, kTileBytes);
      tensor_load(q_tile, &maps.q, q_filled + warpgroup, head * kHeadSize, q0, image);
    }
    HeadRows<kN> rows;
    barrier_wait(q_filled + warpgroup, turn & 1);
#pragma unroll 1
    for (int block = 0; block < blocks; ++block) {
      const int s = block & 1;
      barrier_wait(filled + s, block >> 1 & 1);
      float scores[kN / 2];
      rows.template multiply_keys<T>(scores, q_tile, k_blocks + s * kBlockBytes<kN>);
      rows.mask(scores, a, image, head, row, block * kN);
      rows.exponentiate(scores, scale);
      rows.template multiply_values<T>(scores, v_blocks + s * kBlockBytes<kN>);
      if (block + 2 < blocks) {
        if (leader) barrier_arrive(emptied + s);
        if (threadIdx.x == 0) {
          barrier_wait(emptied + s, block >> 1 & 1);
          load_block(block + 2);
        }
      }
    }
    rows.sum_columns();
    const float factor[2] = {rows.sum[0] > 0 ? 1 / rows.sum[0] : 0, rows.sum[1] > 0 ? 1 / rows.sum[1] : 0};
    if (a.out_type == Type::kE4M3 || a.out_type == Type::kS8) {
      rows.store_bytes(a, image, head, row, factor);
    } else {
      named_barrier(1 + warpgroup, 128);  // all have read the queries, whose place the output takes
      rows.template store<T>(q_tile, factor);
      fence_async_proxy();
      named_barrier(1 + warpgroup, 128);
      if (leader) {
        tensor_store(&maps.out, q_tile, head * kHeadSize, q0, image);
        bulk_commit();
      }
    }
  }
  if (leader) bulk_wait_all();
#endif
}

// Two warpgroups share 64 queries and take every other block of keys, each through a place of its own: for batches too
// small to fill the machine.
template <class T, int kN>
__global__ void __launch_bounds__(256, 1)
    attention_hopper_split(const __grid_constant__ AttentionMaps maps, const __grid_constant__ AttentionArgs a) {
#if __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ uint8_t dynamic[];
  __shared__ uint64_t k_filled[2], v_filled[2], q_filled;
  uint8_t* smem = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(dynamic) + 1023) & ~uintptr_t{1023});
  uint8_t* const q_tile = smem;
  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x / 128), 0);
  uint8_t* const k_block = q_tile + kTileBytes + warpgroup * 2 * kBlockBytes<kN>;
  uint8_t* const v_block = k_block + kBlockBytes<kN>;
  const int thread = threadIdx.x % 128, lane = thread % 32, warp = thread / 32;
  const bool leader = thread == 0;
  const int head = blockIdx.y, image = blockIdx.z, q0 = blockIdx.x * kHeadQueries, row = q0 + warp * 16 + lane / 4;
  const int blocks = (a.sk + kN - 1) / kN;
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; ++i) {
      barrier_init(k_filled + i, 1);
      barrier_init(v_filled + i, 1);
    }
    barrier_init(&q_filled, 1);
    barrier_init_fence();
    prefetch_map(&maps.q);
    prefetch_map(&maps.k);
    prefetch_map(&maps.v);
    prefetch_map(&maps.out);
  }
  __syncthreads();
  let_next_kernel_start();
  wait_for_previous_kernel();
  auto load_block = [&](int block) {
    barrier_expect(k_filled + warpgroup, kBlockBytes<kN>);
    tensor_load(k_block, &maps.k, k_filled + warpgroup, head * kHeadSize, block * kN, image);
    barrier_expect(v_filled + warpgroup, kBlockBytes<kN>);
    tensor_load(v_block, &maps.v, v_filled + warpgroup, head * kHeadSize, block * kN, image);
  };
  if (threadIdx.x == 0) {
    barrier_expect(&q_filled, kTileBytes);
    tensor_load(q_tile, &maps.q, &q_filled, head * kHeadSize, q0, image);
  }
  if (leader && warpgroup < blocks) load_block(warpgroup);

  HeadRows<kN> rows;
  const float scale = a.scale * kLog2E;
  barrier_wait(&q_filled, 0);
#pragma unroll 1
  for (int block = warpgroup; block < blocks; block += 2) {
    float scores[kN / 2];
    barrier_wait(k_filled + warpgroup, block >> 1 & 1);
    rows.template multiply_keys<T>(scores, q_tile, k_block);
    rows.mask(scores, a, image, head, row, block * kN);
    rows.exponentiate(scores, scale);
    barrier_wait(v_filled + warpgroup, block >> 1 & 1);
    rows.template multiply_values<T>(scores, v_block);
    if (block + 2 < blocks) {
      named_barrier(1 + warpgroup, 128);
      if (leader) load_block(block + 2);
    }
  }
  rows.sum_columns();

  // The second hands its half over in the place of its keys; the first finishes.
  auto* const handed = reinterpret_cast<float4*>(q_tile + kTileBytes + 2 * kBlockBytes<kN>) + thread;
  if (warpgroup == 1) {
#pragma unroll
    for (int j = 0; j < 8; ++j)
      handed[j * 128] = make_float4(rows.out[j * 4], rows.out[j * 4 + 1], rows.out[j * 4 + 2], rows.out[j * 4 + 3]);
    handed[8 * 128] = make_float4(rows.top[0], rows.top[1], rows.sum[0], rows.sum[1]);
    named_barrier_arrive(3, 256);
    return;
  }
  named_barrier(3, 256);
  const float4 other = handed[8 * 128];
  const float other_top[2] = {other.x, other.y}, other_sum[2] = {other.z, other.w};
  float factor[2], other_factor[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const float top = fmaxf(rows.top[h], other_top[h]), shift = top == -INFINITY ? 0 : top * scale;
    const float mine = exp2_fast(fmaf(rows.top[h], scale, -shift)), others = exp2_fast(fmaf(other_top[h], scale, -shift));
    const float total = rows.sum[h] * mine + other_sum[h] * others;
    factor[h] = total > 0 ? mine / total : 0;
    other_factor[h] = total > 0 ? others / total : 0;
  }
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const float4 part = handed[j * 128];
    float* const out = rows.out + j * 4;
    out[0] = out[0] * factor[0] + part.x * other_factor[0];
    out[1] = out[1] * factor[0] + part.y * other_factor[0];
    out[2] = out[2] * factor[1] + part.z * other_factor[1];
    out[3] = out[3] * factor[1] + part.w * other_factor[1];
  }
  constexpr float kOne[2] = {1, 1};
  if (a.out_type == Type::kE4M3 || a.out_type == Type::kS8) {
    rows.store_bytes(a, image, head, row, kOne);
  } else {
    rows.template store<T>(q_tile, kOne);  // both have multiplied the queries
    fence_async_proxy();
    named_barrier(1, 128);
    if (leader) {
      tensor_store(&maps.out, q_tile, head * kHeadSize, q0, image);
      bulk_commit();
      bulk_wait_all();
    }
  }
#endif
}

template <class T, int kN, bool kSplit>
cudaError_t launch_of(const AttentionPlan& plan, cudaStream_t stream, bool dependent) {
  auto* kernel = kSplit ? attention_hopper_split<T, kN> : attention_hopper<T, kN>;
  static const cudaError_t ready = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSmem<kN>);
  if (ready != cudaSuccess) return ready;
  const AttentionArgs& a = plan.args;
  AttentionMaps maps;
  std::memcpy(&maps, plan.maps, sizeof(maps));
  const dim3 grid(plan.blocks, a.heads, static_cast<unsigned>(a.batch));
  return launch(kernel, {grid, dim3(256), kSmem<kN>, 1, dependent}, stream, maps, a);
}

template <class T, int kN>
cudaError_t launch_of(const AttentionPlan& plan, cudaStream_t stream, bool dependent) {
  return plan.kernel == AttentionPlan::kHopperSplit ? launch_of<T, kN, true>(plan, stream, dependent)
                                                    : launch_of<T, kN, false>(plan, stream, dependent);
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
