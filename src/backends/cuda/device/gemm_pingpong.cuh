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

// What follows the product is compiled in: the code of a tile's epilogue runs once for each tile, so every instruction
// more is one more fetch from outside the instruction cache.
enum class Epilogue { kPlain, kGelu, kResidual, kTable };

template <class In, int kN>
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

__device__ __forceinline__ float value_of(float v) { return v; }
__device__ __forceinline__ float value_of(int32_t v) { return __int2float_rn(v); }

// With kCluster two blocks that own neighbouring tiles of a row of tiles share A: each loads a half and sends it to both.
// The second level cache is what bounds the kernel without it.
template <class In, class Out, int kN, Epilogue kEpilogue, bool kCluster>
__global__ void __launch_bounds__(384, 1)
    gemm_pingpong(const __grid_constant__ PingpongMaps maps, const __grid_constant__ GemmArgs g, int tiles_m, int tiles_n) {
#if __CUDA_ARCH_FEAT_SM90_ALL
  using S = PingpongShape<In, kN>;
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

  // By a shuffle, so that the compiler knows it to be the same in the whole warp and keeps descriptors in uniform registers.
  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x / 128), 0);
  const uint32_t rank = kCluster ? cluster_rank() : 0;
  const int k_steps = static_cast<int>((g.k + S::kK - 1) / S::kK);
  // A cluster takes a pair of tiles at a time; the second of the last pair may lie outside.
  const int width = kCluster ? (tiles_n + 1) / 2 : tiles_n;
  const int tiles = tiles_m * width;
  const int first = kCluster ? blockIdx.x / 2 : blockIdx.x, stride = kCluster ? gridDim.x / 2 : gridDim.x;
  auto row_of = [&](int tile) { return tile / width * S::kM; };
  auto column_of = [&](int tile) { return (kCluster ? tile % width * 2 + static_cast<int>(rank) : tile % width) * kN; };

  if (threadIdx.x == 0) {
    for (int s = 0; s < S::kStages; ++s) {
      barrier_init(full + s, 1);
      barrier_init(empty + s, kCluster ? 2 : 1);
    }
    for (int i = 0; i < 2; ++i) {
      barrier_init(arrived + i, 1);
      barrier_init(turn_of + i, 1);
    }
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
  auto release = [&](int it) {
    barrier_arrive_at(empty + it % S::kStages, rank);
    if constexpr (kCluster) barrier_arrive_at(empty + it % S::kStages, rank ^ 1);
  };

  if (warpgroup == 0) {
    registers_down<24>();
    if (threadIdx.x == 0) {
      auto load_b = [&](int s, int step, int n0) {
        barrier_expect(full + s, S::kABytes + S::kBBytes);
        tensor_load(b_tiles + s * S::kBBytes, &maps.b, full + s, step * S::kK, n0);
      };
      // Weights do not depend on the kernel before: the first of them travel while it ends.
      const int ahead = min(S::kStages, k_steps);
      for (int s = 0; s < ahead; ++s) load_b(s, s, column_of(first));
      wait_for_previous_kernel();
      int it = 0;
      for (int tile = first; tile < tiles; tile += stride) {
        const int m0 = row_of(tile), n0 = column_of(tile);
        for (int step = 0; step < k_steps; ++step, ++it) {
          const int s = it % S::kStages;
          barrier_wait(empty + s, (it / S::kStages & 1) ^ 1);
          if (it >= ahead) load_b(s, step, n0);
          if constexpr (kCluster)
            tensor_load_multicast(a_tiles + s * S::kABytes + rank * (S::kABytes / 2), &maps.a, full + s, step * S::kK,
                                  m0 + static_cast<int>(rank) * (S::kM / 2), 3);
          else
            tensor_load(a_tiles + s * S::kABytes, &maps.a, full + s, step * S::kK, m0);
        }
      }
    }
    if constexpr (kCluster) {
      __syncwarp();
      cluster_arrive_relaxed();
      cluster_wait();
    }
    return;
  }

  registers_up<240>();
  const int consumer = warpgroup - 1;
  const int thread = threadIdx.x % 128, lane = thread % 32, warp = thread / 32;
  const bool leader = thread == 0;
  uint8_t* const chunk = staging + consumer * S::kStaging;
  uint8_t* const chunk8 = staging8 + consumer * S::kStaging8;
  auto* const bias = reinterpret_cast<float*>(vectors + consumer * S::kVectors);
  float* const scale = bias + kN;
  float* const rows = scale + kN;
  const int stats_groups = static_cast<int>((g.n + kStatsColumns - 1) / kStatsColumns);
  uint32_t residual_phase = 0;
  Acc acc[2][kN / 2];
  wait_for_previous_kernel();

  int turn = 0;
  for (int tile = first; tile < tiles; tile += stride, ++turn) {
    if (turn % 2 != consumer) continue;
    const int m0 = row_of(tile), n0 = column_of(tile);
    auto load_residual = [&](int column) {
      bulk_wait_read();
      barrier_expect(arrived + consumer, S::kStaging);
      tensor_load(chunk, &maps.residual, arrived + consumer, column, m0);
    };
    // What the epilogue needs besides the products, while the other consumer multiplies.
    if (kEpilogue == Epilogue::kResidual && leader) load_residual(n0);
    for (int i = thread; i < kN; i += 128) {
      bias[i] = g.bias && n0 + i < g.n ? g.bias[n0 + i] : 0;
      if constexpr (kScaled) scale[i] = g.col_scale && n0 + i < g.n ? g.col_scale[n0 + i] : 1;
    }
    if ((kEpilogue == Epilogue::kPlain || kEpilogue == Epilogue::kGelu) && g.stats) {
      const int in_groups = (g.stats_columns + kStatsColumns - 1) / kStatsColumns;
      const int64_t row = min(static_cast<int64_t>(m0 + thread), g.m - 1);
      rows[thread] = merge_rstd(g.stats + row * in_groups * 2, g.stats_columns, g.epsilon);
    }
    // The ring's phases are only told apart one lap at a time: no step may be waited for before the other consumer has
    // seen all of its own.
    if (turn > 0) barrier_wait(turn_of + consumer, (turn - 1) / 2 & 1);

    int it = turn * k_steps;
#pragma unroll 1
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
      if (step > 0 && leader) release(it - 1);
    }
    if (leader) barrier_arrive(turn_of + (consumer ^ 1));
    wgmma_wait<0>();
    wgmma_pin(acc[0]);
    wgmma_pin(acc[1]);
    if (leader) release(it - 1);

    named_barrier(1 + consumer, 128);  // bias, scale and rows are written
    float row_scale[4];
    uint32_t table_row[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int r = i / 2 * 64 + warp * 16 + i % 2 * 8 + lane / 4;
      row_scale[i] = g.stats ? rows[r] : 1.0f;
      if constexpr (kEpilogue == Epilogue::kTable)
        table_row[i] = static_cast<uint32_t>(m0 + r) % static_cast<uint32_t>(g.residual_rows) * static_cast<uint32_t>(g.n);
    }
#pragma unroll
    for (int c = 0; c < S::kChunks; ++c) {
      const int column0 = n0 + c * 64;
      if (column0 >= g.n) break;
      if constexpr (kEpilogue == Epilogue::kResidual) {
        if (c > 0 && leader) load_residual(column0);
        barrier_wait(arrived + consumer, residual_phase);
        residual_phase ^= 1;
      } else {
        if (leader) bulk_wait_read();
        named_barrier(1 + consumer, 128);
      }
      // This thread's corner of the chunk. Hidden from the compiler, which would otherwise keep the addresses of all
      // chunks in registers that it does not have.
      uint32_t corner = smem_address(chunk) + (warp * 16 + lane / 4) * 128 + lane % 4 * 4;
      uint32_t corner8 = smem_address(chunk8) + (warp * 16 + lane / 4) * 64 + lane % 4 * 2;
      uint32_t vector = smem_address(bias) + lane % 4 * 8;
      asm volatile("" : "+r"(corner), "+r"(corner8), "+r"(vector));
      float sum[4] = {}, square[4] = {};
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const float2 shift = load_shared_pair(vector + (c * 64 + j * 8) * 4);
        const float2 factor = kScaled ? load_shared_pair(vector + (kN + c * 64 + j * 8) * 4) : float2{1, 1};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int at = (c * 8 + j) * 4 + i % 2 * 2;
          float x = value_of(acc[i / 2][at]), y = value_of(acc[i / 2][at + 1]);
          if constexpr (kScaled) {
            x *= factor.x;
            y *= factor.y;
          }
          x = fmaf(x, row_scale[i], shift.x);
          y = fmaf(y, row_scale[i], shift.y);
          if constexpr (kEpilogue == Epilogue::kGelu) {
            x = gelu(x);
            y = gelu(y);
          }
          const uint32_t slot = corner + (i / 2 * 64 + i % 2 * 8) * 128 + ((j ^ lane / 4) << 4);
          if constexpr (kEpilogue == Epilogue::kResidual || kEpilogue == Epilogue::kTable) {
            uint32_t from = 0;
            if constexpr (kEpilogue == Epilogue::kResidual) {
              from = load_shared(slot);
            } else {
              const int column = column0 + j * 8 + lane % 4 * 2;
              if (column < g.n)
                from = __ldg(reinterpret_cast<const uint32_t*>(static_cast<const Out*>(g.residual) + table_row[i] + column));
            }
            const float2 residual = Pair<Out>::unpack(from);
            x += residual.x;
            y += residual.y;
          }
          const uint32_t packed = Pair<Out>::pack(x, y);
          store_shared(slot, packed);
          if constexpr (kScaled) {
            if (g.d8)
              store_shared(corner8 + (i / 2 * 64 + i % 2 * 8) * 64 + ((j / 2 ^ (lane / 8 & 3)) << 4) + (j & 1) * 8,
                           pack8(fmaf(x, g.d8_scale, g.d8_zero), fmaf(y, g.d8_scale, g.d8_zero),
                                 std::is_same_v<Acc, float> ? Type::kE4M3 : Type::kS8));
          }
          if constexpr (kEpilogue == Epilogue::kResidual || kEpilogue == Epilogue::kTable) {
            const float2 rounded = Pair<Out>::unpack(packed);  // columns past the last are zero
            sum[i] += rounded.x + rounded.y;
            square[i] = fmaf(rounded.x, rounded.x, fmaf(rounded.y, rounded.y, square[i]));
          }
        }
      }
      if (kEpilogue != Epilogue::kPlain && kEpilogue != Epilogue::kGelu && g.stats_out) {
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
  if constexpr (kCluster) {  // nobody leaves while the other may still write here
    __syncwarp();
    cluster_arrive_relaxed();
    cluster_wait();
  }
#endif
}

}  // namespace vitrail::cuda
