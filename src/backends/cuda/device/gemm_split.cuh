// SPDX-License-Identifier: Apache-2.0
// The product for few rows: D is computed transposed, 64 columns of D by kRows rows a block (half of the rows for each of
// two warpgroups), so that each weight is
// read by one block only and no row is padded to 128. K is split over the blocks of a cluster, which add their sums
// through distributed shared memory; each then finishes a share of the rows.
#pragma once

#include "backends/cuda/device/gemm_pingpong.cuh"

namespace vitrail::cuda {

struct SplitMaps {
  CUtensorMap w, x;
};

template <class In, int kRows>
struct SplitShape {
  static constexpr int kFeatures = 64;
  static constexpr int kK = 128 / sizeof(In);
  static constexpr int kWBytes = kFeatures * 128, kXBytes = kRows * 128;
  static constexpr int kConsumers = 256, kThreads = kConsumers + 32;
  static constexpr int kSumStride = kFeatures + 4;  // floats of a row of sums; the 4 keep the banks apart
  static constexpr int kSumBytes = kRows * kSumStride * 4;
  static constexpr int kMaxStages = 12;
  static int smem(int stages) {
    const int ring = stages * (kWBytes + kXBytes);
    return 1024 + (ring > kSumBytes ? ring : kSumBytes) + 256;
  }
};

template <class In, class Out, int kRows, bool kGelu>
__global__ void __launch_bounds__(288, kRows <= 224 ? 2 : 1)
    gemm_split(const __grid_constant__ SplitMaps maps, const __grid_constant__ GemmArgs g, int stages, int steps_a_block) {
#if __CUDA_ARCH_FEAT_SM90_ALL
  using S = SplitShape<In, kRows>;
  constexpr int kHalf = kRows / 2;  // rows of a warpgroup
  using Product = Wgmma<In, kHalf>;
  using Acc = typename Product::Accumulator;
  extern __shared__ uint8_t dynamic[];
  __shared__ uint64_t full[S::kMaxStages], empty[S::kMaxStages];
  __shared__ float row_scales[kRows];  // of this block's share of the rows
  uint8_t* smem = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(dynamic) + 1023) & ~uintptr_t{1023});
  uint8_t* const w_tiles = smem;
  uint8_t* const x_tiles = w_tiles + stages * S::kWBytes;
  auto* const sums = reinterpret_cast<float*>(smem);

  const int n0 = blockIdx.x * S::kFeatures, m0 = blockIdx.y * kRows;
  const uint32_t rank = cluster_rank(), splits = cluster_size();
  const int all_steps = static_cast<int>((g.k + S::kK - 1) / S::kK);
  const int step0 = rank * steps_a_block;
  const int steps = max(0, min(steps_a_block, all_steps - step0));

  const int rows = static_cast<int>(min(int64_t{kRows}, g.m - m0));
  const int share = (rows + splits - 1) / splits;
  const int begin = min(rows, static_cast<int>(rank) * share), end = min(rows, begin + share);
  const int feature = threadIdx.x % 16 * 4, column = n0 + feature;
  const int valid = static_cast<int>(max(int64_t{0}, min(int64_t{4}, g.n - column)));

  if (threadIdx.x == 0) {
    for (int s = 0; s < stages; ++s) {
      barrier_init(full + s, 1);
      barrier_init(empty + s, 2);
    }
    barrier_init_fence();
    prefetch_map(&maps.w);
    prefetch_map(&maps.x);
  }
  __syncthreads();
  let_next_kernel_start();

  const int lane = threadIdx.x % 32, warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x / 32), 0);
  if (warp == S::kConsumers / 32) {
    if (lane == 0) {
      auto load_w = [&](int s, int step) {
        barrier_expect(full + s, S::kWBytes + S::kXBytes);
        tensor_load(w_tiles + s * S::kWBytes, &maps.w, full + s, (step0 + step) * S::kK, n0);
      };
      const int ahead = min(stages, steps);
      for (int s = 0; s < ahead; ++s) load_w(s, s);
      wait_for_previous_kernel();
      for (int step = 0; step < steps; ++step) {
        const int s = step % stages;
        barrier_wait(empty + s, (step / stages & 1) ^ 1);
        if (step >= ahead) load_w(s, step);
        for (int h = 0; h < 2; ++h)  // a box holds 256 rows at most
          tensor_load(x_tiles + s * S::kXBytes + h * (S::kXBytes / 2), &maps.x, full + s, (step0 + step) * S::kK,
                      m0 + h * kHalf);
      }
    }
    __syncwarp();
  } else {
    Acc acc[kHalf / 2];
    const int half = warp / 4;
    if (g.stats) {  // in the shadow of the copies
      wait_for_previous_kernel();
      for (int row = begin + threadIdx.x; row < end; row += S::kConsumers)
        row_scales[row - begin] = merge_rstd<12>(g, m0 + row);
    }
    for (int step = 0; step < steps; ++step) {
      const int s = step % stages;
      barrier_wait(full + s, step / stages & 1);
      const uint64_t dw = operand_descriptor(w_tiles + s * S::kWBytes);
      const uint64_t dx = operand_descriptor(x_tiles + s * S::kXBytes + half * (S::kXBytes / 2));
      wgmma_pin(acc);
      wgmma_fence();
#pragma unroll
      for (int kk = 0; kk < 4; ++kk) Product::run(acc, dw + 2 * kk, dx + 2 * kk, step | kk);
      wgmma_commit();
      wgmma_wait<1>();
      if (step > 0 && threadIdx.x % 128 == 0) barrier_arrive(empty + (step - 1) % stages);
    }
    wgmma_wait<0>();
    wgmma_pin(acc);
    named_barrier(1, S::kConsumers);  // all have read the ring: the sums may overwrite it
#pragma unroll
    for (int j = 0; j < kHalf / 8; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int feature = warp % 4 * 16 + i / 2 * 8 + lane / 4, row = half * kHalf + j * 8 + lane % 4 * 2 + i % 2;
        reinterpret_cast<Acc*>(sums)[row * S::kSumStride + feature] = steps > 0 ? acc[j * 4 + i] : Acc(0);
      }
    wait_for_previous_kernel();
  }
  if (splits > 1) {
    cluster_arrive();
    cluster_wait();
  } else {
    __syncthreads();
  }

  if (warp < S::kConsumers / 32) {
    const bool vector = g.n % 4 == 0;
    float bias[4] = {}, scale[4] = {1, 1, 1, 1};
    for (int i = 0; i < valid; ++i) {
      if (g.bias) bias[i] = g.bias[column + i];
      if (g.col_scale) scale[i] = g.col_scale[column + i];
    }
    constexpr int kStep = S::kConsumers / 16, kAtOnce = kRows >= 128 ? 2 : 1;  // rows of a thread whose loads are in flight together
    for (int base = begin; base < end; base += kStep * kAtOnce) {
      Acc total[kAtOnce][4] = {};
      float residual[kAtOnce][4] = {};
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        const int row = min(base + u * kStep + static_cast<int>(threadIdx.x) / 16, end - 1);
        if (g.residual) {
          const Out* from = static_cast<const Out*>(g.residual) + (m0 + row) % g.residual_rows * g.n + column;
          if (vector && valid == 4) {
            const uint2 four = *reinterpret_cast<const uint2*>(from);
            const float2 low = Pair<Out>::unpack(four.x), high = Pair<Out>::unpack(four.y);
            residual[u][0] = low.x, residual[u][1] = low.y, residual[u][2] = high.x, residual[u][3] = high.y;
          } else {
            for (int i = 0; i < valid; ++i) residual[u][i] = to_float(from[i]);
          }
        }
      }
      const uint32_t first = smem_address(sums + feature);
#pragma unroll 4
      for (uint32_t s = 0; s < splits; ++s) {
        const uint32_t there = map_to_block(first, s);
#pragma unroll
        for (int u = 0; u < kAtOnce; ++u) {
          const int row = min(base + u * kStep + static_cast<int>(threadIdx.x) / 16, end - 1);
          const float4 part = load_from_block(there + row * S::kSumStride * 4);
          if constexpr (std::is_same_v<Acc, float>) {
            total[u][0] += part.x, total[u][1] += part.y, total[u][2] += part.z, total[u][3] += part.w;
          } else {
            total[u][0] += __float_as_int(part.x), total[u][1] += __float_as_int(part.y);
            total[u][2] += __float_as_int(part.z), total[u][3] += __float_as_int(part.w);
          }
        }
      }
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        const int at = base + u * kStep + static_cast<int>(threadIdx.x) / 16, row = min(at, end - 1);
        const bool mine = at < end;
        const int64_t m = m0 + row;
        const float row_scale = g.stats ? row_scales[row - begin] : 1.0f;
        float v[4], sum = 0, square = 0;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          v[i] = fmaf(value_of(total[u][i]) * scale[i], row_scale, bias[i]);
          v[i] = (kGelu ? gelu(v[i]) : v[i]) + residual[u][i];
          if (i < valid) {
            const float rounded = to_float(from_float<Out>(v[i]));
            sum += rounded;
            square = fmaf(rounded, rounded, square);
          }
        }
        if (g.stats_out) {
          for (int o = kStatsColumns / 8; o > 0; o /= 2) {
            sum += __shfl_xor_sync(~0u, sum, o);
            square += __shfl_xor_sync(~0u, square, o);
          }
          const float count = static_cast<float>(min(int64_t{kStatsColumns}, g.n - column));
          if (mine && valid > 0 && threadIdx.x % (kStatsColumns / 4) == 0)
            *reinterpret_cast<float2*>(g.stats_out + (column / kStatsColumns * g.m + m) * 2) =
                make_float2(sum / count, fmaxf(square - sum * sum / count, 0));
        }
        if (!mine || valid == 0) continue;
        if (g.d && g.out == Type::kF32) {
          float* d = static_cast<float*>(g.d) + m * g.n + column;
          if (vector)
            *reinterpret_cast<float4*>(d) = make_float4(v[0], v[1], v[2], v[3]);
          else
            for (int i = 0; i < valid; ++i) d[i] = v[i];
        } else if (g.d) {
          Out* d = static_cast<Out*>(g.d) + m * g.n + column;
          if (vector)
            *reinterpret_cast<uint2*>(d) = make_uint2(Pair<Out>::pack(v[0], v[1]), Pair<Out>::pack(v[2], v[3]));
          else
            for (int i = 0; i < valid; ++i) d[i] = from_float<Out>(v[i]);
        }
        if (sizeof(In) == 1 && g.d8) {
          const Type type = std::is_same_v<Acc, float> ? Type::kE4M3 : Type::kS8;
          auto q = [&](float x) { return fmaf(x, g.d8_scale, g.d8_zero); };
          const uint32_t low = pack8(q(v[0]), q(v[1]), type), high = pack8(q(v[2]), q(v[3]), type);
          uint8_t* d = static_cast<uint8_t*>(g.d8) + m * g.n + column;
          if (vector)
            *reinterpret_cast<uint32_t*>(d) = low | high << 16;
          else
            for (int i = 0; i < valid; ++i) d[i] = static_cast<uint8_t>((i < 2 ? low : high) >> (i % 2 * 8));
        }
      }
    }
  }
  if (splits > 1) {  // nobody leaves while others read its sums
    cluster_arrive_relaxed();
    cluster_wait();
  }
#endif
}

}  // namespace vitrail::cuda
