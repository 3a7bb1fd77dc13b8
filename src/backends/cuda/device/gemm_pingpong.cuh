// SPDX-License-Identifier: Apache-2.0
// The product for many rows: persistent blocks of three warpgroups. One copies tiles into a ring of shared memory,
// the other two each own a whole tile of D in turn, so that one's epilogue hides behind the other's products
// ("ping-pong", as in CUTLASS's KernelTmaWarpSpecializedPingpong).
#pragma once

#include "backends/cuda/device/math.cuh"
#include "backends/cuda/device/ptx.cuh"
#include "backends/cuda/device/wgmma.cuh"
#include "backends/cuda/kernels/types.h"

namespace vitrail::cuda {

struct PingpongMaps {
  CUtensorMap a, b, d, residual, d8;
};

template <class In, int kN, bool kCluster>
struct PingpongShape {
  static constexpr int kM = 128;
  static constexpr int kK = 128 / sizeof(In);  // elements of a step: rows of 128 bytes
  static constexpr int kABytes = kM * 128, kBBytes = kN * 128;
  static constexpr int kStages = kN >= 192 ? 4 : 5;
  static constexpr int kChunks = kN / 64;
  static constexpr int kStaging = kM * 128, kStaging8 = sizeof(In) == 1 ? kM * 64 : 0;
  static constexpr int kThreads = 384;
  // Of each consumer, for the tile in hand: bias and scale of the columns, scale of the rows.
  static constexpr int kVectors = (2 * kN + kM) * 4;
  static constexpr int kSmem = 1024 + kStages * (kABytes + kBBytes) + 2 * (kStaging + kStaging8 + kVectors) + 256;
};

// The accumulator as the number it stands for, and a place to keep the finished value.
__device__ __forceinline__ float value_of(float v) { return v; }
__device__ __forceinline__ float value_of(int32_t v) { return __int2float_rn(v); }
__device__ __forceinline__ void keep(float& slot, float v) { slot = v; }
__device__ __forceinline__ void keep(int32_t& slot, float v) { slot = __float_as_int(v); }
__device__ __forceinline__ float kept(float v) { return v; }
__device__ __forceinline__ float kept(int32_t v) { return __int_as_float(v); }

template <class In, class Out, int kN, bool kCluster>
__global__ void __launch_bounds__(384, 1)
    gemm_pingpong(const __grid_constant__ PingpongMaps maps, const __grid_constant__ GemmArgs g, int tiles_m, int tiles_n) {
#if __CUDA_ARCH_FEAT_SM90_ALL
  using S = PingpongShape<In, kN, kCluster>;
  using Product = Wgmma<In, kN>;
  using Acc = typename Product::Accumulator;
  constexpr bool kScaled = sizeof(In) == 1;
  extern __shared__ uint8_t dynamic[];
  uint8_t* smem = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(dynamic) + 1023) & ~uintptr_t{1023});
  uint8_t* const a_tiles = smem;
  uint8_t* const b_tiles = a_tiles + S::kStages * S::kABytes;
  uint8_t* const staging = b_tiles + S::kStages * S::kBBytes;
  uint8_t* const staging8 = staging + 2 * S::kStaging;
  uint8_t* const vectors = staging8 + 2 * S::kStaging8;
  auto* full = reinterpret_cast<uint64_t*>(vectors + 2 * S::kVectors);
  uint64_t* empty = full + S::kStages;
  uint64_t* arrived = empty + S::kStages;  // residual chunk of each consumer
  uint64_t* turn_of = arrived + 2;         // the other consumer has issued its products

  const int warpgroup = threadIdx.x / 128;
  const uint32_t rank = kCluster ? cluster_rank() : 0;
  const int k_steps = static_cast<int>((g.k + S::kK - 1) / S::kK);
  const int group_n = kCluster ? (tiles_n + 1) / 2 : tiles_n;
  const int groups = tiles_m * group_n;
  const int first = kCluster ? blockIdx.x / 2 : blockIdx.x;
  const int stride = kCluster ? gridDim.x / 2 : gridDim.x;

  if (threadIdx.x == 0) {
    for (int s = 0; s < S::kStages; ++s) {
      barrier_init(full + s, 1);
      barrier_init(empty + s, kCluster ? 2 : 1);
    }
    barrier_init(arrived, 1);
    barrier_init(arrived + 1, 1);
    barrier_init(turn_of, 1);
    barrier_init(turn_of + 1, 1);
    barrier_init_fence();
    prefetch_map(&maps.a);
    prefetch_map(&maps.b);
  }
  if constexpr (kCluster) {
    cluster_arrive();
    cluster_wait();
  } else {
    __syncthreads();
  }
  let_next_kernel_start();

  if (warpgroup == 0) {
    registers_down<24>();
    if (threadIdx.x == 0) {
      constexpr uint32_t kBytes = S::kABytes + S::kBBytes;
      auto load_b = [&](int s, int step, int n0) {
        barrier_expect(full + s, kBytes);
        tensor_load(b_tiles + s * S::kBBytes, &maps.b, full + s, step * S::kK, n0);
      };
      auto load_a = [&](int s, int step, int m0) {
        if constexpr (kCluster)
          tensor_load_multicast(a_tiles + s * S::kABytes + rank * (S::kABytes / 2), &maps.a, full + s, step * S::kK,
                                m0 + rank * (S::kM / 2), 3);
        else
          tensor_load(a_tiles + s * S::kABytes, &maps.a, full + s, step * S::kK, m0);
      };
      // Weights do not depend on the kernel before: the first of them travel while it ends.
      const int ahead = min(S::kStages, k_steps);
      if (first < groups)
        for (int s = 0; s < ahead; ++s)
          load_b(s, s, ((first % group_n) * (kCluster ? 2 : 1) + rank) * kN);
      wait_for_previous_kernel();
      int it = 0;
      for (int group = first; group < groups; group += stride) {
        const int m0 = group / group_n * S::kM;
        const int n0 = ((group % group_n) * (kCluster ? 2 : 1) + rank) * kN;
        for (int step = 0; step < k_steps; ++step, ++it) {
          const int s = it % S::kStages;
          barrier_wait(empty + s, (it / S::kStages & 1) ^ 1);
          if (it >= ahead) load_b(s, step, n0);
          load_a(s, step, m0);
        }
      }
    }
  } else {
    registers_up<240>();
    const int consumer = warpgroup - 1;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
    const bool leader = threadIdx.x % 128 == 0;
    uint8_t* const chunk = staging + consumer * S::kStaging;
    uint8_t* const chunk8 = staging8 + consumer * S::kStaging8;
    auto* const bias = reinterpret_cast<float*>(vectors + consumer * S::kVectors);
    float* const scale = bias + kN;
    float* const rows = scale + kN;
    const bool whole_residual = g.residual && g.residual_rows == g.m;
    const int stats_groups = static_cast<int>((g.n + kStatsColumns - 1) / kStatsColumns);
    uint32_t residual_phase = 0;
    Acc acc[2][kN / 2];
    wait_for_previous_kernel();

    int turn = 0;
    for (int group = first; group < groups; group += stride, ++turn) {
      if (turn % 2 != consumer) continue;
      const int m0 = group / group_n * S::kM;
      const int n0 = ((group % group_n) * (kCluster ? 2 : 1) + rank) * kN;
      if (leader && whole_residual) {  // the first chunk, while the products run
        bulk_wait_read();
        barrier_expect(arrived + consumer, S::kStaging);
        tensor_load(chunk, &maps.residual, arrived + consumer, n0, m0);
      }
      // What the epilogue needs besides the products, while the other consumer multiplies.
      for (int i = threadIdx.x % 128; i < kN; i += 128) {
        bias[i] = g.bias && n0 + i < g.n ? g.bias[n0 + i] : 0;
        if constexpr (kScaled) scale[i] = g.col_scale && n0 + i < g.n ? g.col_scale[n0 + i] : 1;
      }
      if (g.stats) {
        const int in_groups = (g.stats_columns + kStatsColumns - 1) / kStatsColumns;
        const int64_t row = min(static_cast<int64_t>(m0 + threadIdx.x % 128), g.m - 1);
        rows[threadIdx.x % 128] = merge_rstd(g.stats + row * in_groups * 2, g.stats_columns, g.epsilon);
      }
      // The rings' phases are only told apart one lap at a time: no step may be waited for before the other consumer
      // has seen all of its own.
      if (turn > 0) barrier_wait(turn_of + consumer, (turn - 1) / 2 & 1);

      int it = turn * k_steps;
      for (int step = 0; step < k_steps; ++step, ++it) {
        const int s = it % S::kStages;
        barrier_wait(full + s, it / S::kStages & 1);
        const uint64_t da = operand_descriptor(a_tiles + s * S::kABytes);
        const uint64_t db = operand_descriptor(b_tiles + s * S::kBBytes);
        wgmma_pin(acc[0]);
        wgmma_pin(acc[1]);
        wgmma_fence();
#pragma unroll
        for (int kk = 0; kk < 4; ++kk) {
          Product::run(acc[0], da + 2 * kk, db + 2 * kk, step | kk);
          Product::run(acc[1], da + 2 * kk + 512, db + 2 * kk, step | kk);
        }
        wgmma_commit();
        wgmma_wait<1>();
        if (step > 0 && leader) {
          const int before = (it - 1) % S::kStages;
          barrier_arrive_at(empty + before, rank);
          if constexpr (kCluster) barrier_arrive_at(empty + before, rank ^ 1);
        }
      }
      if (leader) barrier_arrive(turn_of + (consumer ^ 1));
      wgmma_wait<0>();
      wgmma_pin(acc[0]);
      wgmma_pin(acc[1]);
      named_barrier(1 + consumer, 128);  // bias, scale and rows are written
      float row_scale[4];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        row_scale[i] = g.stats ? rows[i / 2 * 64 + warp * 16 + i % 2 * 8 + lane / 4] : 1.0f;
      if (leader) {
        const int before = (it - 1) % S::kStages;
        barrier_arrive_at(empty + before, rank);
        if constexpr (kCluster) barrier_arrive_at(empty + before, rank ^ 1);
      }

#pragma unroll
      for (int c = 0; c < S::kChunks; ++c) {
        const int column0 = n0 + c * 64;
        if (column0 >= g.n) break;
        if (whole_residual) {
          if (c > 0 && leader) {
            bulk_wait_read();
            barrier_expect(arrived + consumer, S::kStaging);
            tensor_load(chunk, &maps.residual, arrived + consumer, column0, m0);
          }
          barrier_wait(arrived + consumer, residual_phase);
          residual_phase ^= 1;
        } else {
          if (leader) bulk_wait_read();
          named_barrier(1 + consumer, 128);
        }
        float sum[4] = {}, square[4] = {};
        // This thread's corner of the chunk. Hidden from the compiler, which would otherwise keep the addresses of all
        // chunks in registers that it does not have.
        uint32_t corner = smem_address(chunk) + (warp * 16 + lane / 4) * 128 + lane % 4 * 4;
        uint32_t corner8 = smem_address(chunk8) + (warp * 16 + lane / 4) * 64 + lane % 4 * 2;
        uint32_t vector = smem_address(bias) + lane % 4 * 8;
        asm volatile("" : "+r"(corner), "+r"(corner8), "+r"(vector));
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          const int column = column0 + j * 8 + lane % 4 * 2;
          const bool inside = column < g.n;
          const float2 shift = load_shared_pair(vector + (c * 64 + j * 8) * 4);
          const float2 factor = kScaled ? load_shared_pair(vector + (kN + c * 64 + j * 8) * 4) : float2{1, 1};
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const int r = i / 2 * 64 + warp * 16 + i % 2 * 8 + lane / 4;
            const int at = (c * 8 + j) * 4 + i % 2 * 2;
            float x = value_of(acc[i / 2][at]), y = value_of(acc[i / 2][at + 1]);
            if constexpr (kScaled) {
              x *= factor.x;
              y *= factor.y;
            }
            x = fmaf(x, row_scale[i], shift.x);
            y = fmaf(y, row_scale[i], shift.y);
            if (g.activation == Activation::kGelu) {
              x = gelu(x);
              y = gelu(y);
            }
            const uint32_t slot = corner + (i / 2 * 64 + i % 2 * 8) * 128 + ((j ^ lane / 4) << 4);
            if (whole_residual) {
              const float2 res = Pair<Out>::unpack(load_shared(slot));
              x += res.x;
              y += res.y;
            } else if (g.residual && inside) {
              const int64_t row = min(static_cast<int64_t>(m0 + r), g.m - 1) % g.residual_rows;
              const float2 res = Pair<Out>::unpack(
                  *reinterpret_cast<const uint32_t*>(static_cast<const Out*>(g.residual) + row * g.n + column));
              x += res.x;
              y += res.y;
            }
            const uint32_t packed = Pair<Out>::pack(x, y);
            store_shared(slot, packed);
            if constexpr (kScaled) {
              if (g.d8)
                store_shared(corner8 + (i / 2 * 64 + i % 2 * 8) * 64 + ((j / 2 ^ (lane / 8 & 3)) << 4) + (j & 1) * 8,
                             pack8(fmaf(x, g.d8_scale, g.d8_zero), fmaf(y, g.d8_scale, g.d8_zero),
                                   std::is_same_v<Acc, float> ? Type::kE4M3 : Type::kS8));
            }
            if (g.stats_out && inside) {
              const float2 rounded = Pair<Out>::unpack(packed);
              sum[i] += rounded.x + rounded.y;
              square[i] = fmaf(rounded.x, rounded.x, fmaf(rounded.y, rounded.y, square[i]));
            }
          }
        }
        if (g.stats_out) {
          const float count = static_cast<float>(min(int64_t{64}, g.n - column0));
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            float s = sum[i], q = square[i];
            s += __shfl_xor_sync(~0u, s, 1);
            q += __shfl_xor_sync(~0u, q, 1);
            s += __shfl_xor_sync(~0u, s, 2);
            q += __shfl_xor_sync(~0u, q, 2);
            const int64_t row = m0 + i / 2 * 64 + warp * 16 + i % 2 * 8 + lane / 4;
            if (lane % 4 == 0 && row < g.m)
              *reinterpret_cast<float2*>(g.stats_out + (row * stats_groups + column0 / kStatsColumns) * 2) =
                  make_float2(s / count, fmaxf(q - s * s / count, 0));
          }
        }
        fence_async_proxy();
        named_barrier(1 + consumer, 128);
        if (leader) {
          if (g.d) tensor_store(&maps.d, chunk, column0, m0);
          if (kScaled && g.d8) tensor_store(&maps.d8, chunk8, column0, m0);
          bulk_commit();
        }
      }
      // The named barrier of the last chunk stands between these reads of bias, scale and rows and the next writes.
    }
    if (leader) bulk_wait_all();
  }
  if constexpr (kCluster) {  // nobody leaves while the other may still write here
    cluster_arrive();
    cluster_wait();
  }
#endif
}

}  // namespace vitrail::cuda
