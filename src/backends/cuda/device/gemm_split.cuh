// SPDX-License-Identifier: Apache-2.0
// The product for few rows: D is computed transposed, 64 columns of D by kRows rows a block (half of the rows for each of
// two warpgroups), so that each weight is read by one block only and no row is padded to 128. K is split over the blocks of
// a cluster: each owns some of the rows, in groups of eight, and the others write their sums of these into its shared memory,
// as accumulators lie in registers.
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
  static constexpr int kConsumers = 256, kThreads = kConsumers + 64;  // a warp for the copies, one for the rows' scales
  static constexpr int kGroups = kRows / 8, kGroupBytes = kFeatures * 8 * 4;
  static constexpr int kSumStride = kFeatures + 4;  // floats of a row of sums; the 4 keep the banks apart
  static constexpr int kMaxStages = 12;
  // Groups of rows that a block finishes at most.
  static constexpr __host__ __device__ int most_groups(int splits) { return (kGroups + splits - 1) / splits; }
  // The ring, whose place the sums of the block's rows take.
  static constexpr __host__ __device__ int ring_bytes(int stages, int splits) {
    const int ring = stages * (kWBytes + kXBytes), sums = most_groups(splits) * 8 * kSumStride * 4;
    return ring > sums ? ring : sums;
  }
  static constexpr __host__ __device__ int received_bytes(int splits) {
    return splits > 1 ? splits * most_groups(splits) * kGroupBytes : 0;
  }
  static constexpr __host__ __device__ int residual_bytes(int splits) { return most_groups(splits) * 8 * kFeatures * 2; }
  static constexpr __host__ __device__ int smem(int stages, int splits) {
    return 1024 + ring_bytes(stages, splits) + received_bytes(splits) + residual_bytes(splits);
  }
};

template <class In, class Out, int kRows, Epilogue kEpilogue>
__global__ void __launch_bounds__(320, 2)
    gemm_split(const __grid_constant__ SplitMaps maps, const __grid_constant__ GemmArgs g, int stages, int steps_a_block) {
#if __CUDA_ARCH_FEAT_SM90_ALL
  using S = SplitShape<In, kRows>;
  constexpr int kHalf = kRows / 2;  // rows of a warpgroup
  constexpr bool kAny = kEpilogue == Epilogue::kTable;
  const bool gelus = kAny ? g.activation == Activation::kGelu : kEpilogue == Epilogue::kGelu;
  const bool adds = kAny ? g.residual != nullptr : kEpilogue == Epilogue::kResidual;
  using Product = Wgmma<In, kHalf>;
  using Acc = typename Product::Accumulator;
  extern __shared__ uint8_t dynamic[];
  __shared__ uint64_t full[S::kMaxStages], empty[S::kMaxStages], arrived;
  __shared__ float row_scales[kRows];   // of this block's share of the rows
  __shared__ uint2 places[S::kGroups];  // where the sums of a group go, and the barrier there
  uint8_t* smem = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(dynamic) + 1023) & ~uintptr_t{1023});
  uint8_t* const w_tiles = smem;
  uint8_t* const x_tiles = w_tiles + stages * S::kWBytes;

  const int n0 = blockIdx.x * S::kFeatures, m0 = blockIdx.y * kRows;
  const int splits = gridDim.z, split = blockIdx.z;  // a cluster spans the grid's depth
  const int all_steps = static_cast<int>((g.k + S::kK - 1) / S::kK);
  const int step0 = split * steps_a_block;
  const int steps = max(0, min(steps_a_block, all_steps - step0));

  const int rows = static_cast<int>(min(int64_t{kRows}, g.m - m0)), groups = (rows + 7) / 8;
  const int first_group = split * groups / splits, own_groups = (split + 1) * groups / splits - first_group;
  const int most = S::most_groups(splits);
  auto* const sums = reinterpret_cast<Acc*>(smem);
  uint8_t* const received = smem + S::ring_bytes(stages, splits);
  uint8_t* const residuals = received + S::received_bytes(splits);
  const int begin = first_group * 8, end = min(rows, begin + own_groups * 8);

  if (threadIdx.x == 0) {
    for (int s = 0; s < stages; ++s) {
      barrier_init(full + s, 1);
      barrier_init(empty + s, 2);
    }
    barrier_init(&arrived, 1);
    barrier_init_fence();
    barrier_expect(&arrived, splits * own_groups * S::kGroupBytes);
    prefetch_map(&maps.w);
    prefetch_map(&maps.x);
  }
  if (splits > 1 && threadIdx.x < groups) {
    const int group = threadIdx.x, owner = ((group + 1) * splits - 1) / groups, slot = group - owner * groups / splits;
    places[group] = {map_to_block(smem_address(received + (split * most + slot) * S::kGroupBytes), owner),
                     map_to_block(smem_address(&arrived), owner)};
  }
  if (splits > 1) {
    cluster_arrive();
    let_next_kernel_start();
  } else {
    __syncthreads();
    let_next_kernel_start();
  }

  const int lane = threadIdx.x % 32, warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x / 32), 0);
  if (warp == S::kConsumers / 32) {
    // All blocks in the same order: what several multiprocessors read at a time crosses the second level cache once.
    auto column_of = [&](int step) { return (step0 + step) * S::kK; };
    auto load_w = [&](int s, int step) {
      barrier_expect(full + s, S::kWBytes + S::kXBytes);
      tensor_load(w_tiles + s * S::kWBytes, &maps.w, full + s, column_of(step), n0);
    };
    if (splits > 1) cluster_wait();
    if (lane == 0) {
      const int ahead = min(stages, steps);
      for (int s = 0; s < ahead; ++s) load_w(s, s);
      for (int s = ahead; s < steps; ++s) tensor_prefetch(&maps.w, column_of(s), n0);
      wait_for_previous_kernel();
      for (int step = 0; step < steps; ++step) {
        const int s = step % stages;
        barrier_wait(empty + s, (step / stages & 1) ^ 1);
        if (step >= ahead) load_w(s, step);
        uint8_t* const x = x_tiles + s * S::kXBytes;
        for (int h = 0; h < 2; ++h)
          tensor_load(x + h * (S::kXBytes / 2), &maps.x, full + s, column_of(step), m0 + h * kHalf);
      }
    }
    return;
  }
  if (splits > 1) cluster_wait();
  if (warp > S::kConsumers / 32) {
    wait_for_previous_kernel();
    if (g.stats)
#pragma unroll 1
      for (int row = begin + lane; row < end; row += 32) row_scales[row - begin] = merge_rstd<12>(g, m0 + row);
    named_barrier_arrive(2, S::kConsumers + 32);
    return;
  }
  // This thread finishes four columns of every 16th row of the share.
  const int feature = threadIdx.x % 16 * 4, column = n0 + feature;
  const int valid = kAny ? static_cast<int>(max(int64_t{0}, min(int64_t{4}, g.n - column))) : 4;
  const bool vector = !kAny || g.n % 4 == 0;
  constexpr int kStep = S::kConsumers / 16;
  float bias[4] = {}, scale[4] = {1, 1, 1, 1};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (g.bias && i < valid) bias[i] = g.bias[column + i];
    if (g.col_scale && i < valid) scale[i] = g.col_scale[column + i];
  }
  const int first_row = begin + static_cast<int>(threadIdx.x) / 16;
  auto residual_of = [&](int row) {
    const int64_t m = kAny ? (m0 + row) % g.residual_rows : m0 + row;
    return static_cast<const Out*>(g.residual) + m * g.n + column;
  };
  auto* const residual = reinterpret_cast<uint2*>(residuals) + threadIdx.x % 16;
  wait_for_previous_kernel();
  if (adds && vector && valid)
#pragma unroll 1
    for (int row = first_row; row < end; row += kStep) copy_async_8(residual + (row - begin) * 16, residual_of(row));

  Acc acc[kHalf / 2];
  const int half = warp / 4;
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

  // Where a thread's four sums of a group lie: columns `at_feature` and + 8, rows `at_row` and + 1.
  const int at_feature = warp % 4 * 16 + lane / 4, at_row = lane % 4 * 2;
  auto store_sums = [&](int group, Acc a, Acc b, Acc c, Acc d) {
    Acc* to = sums + (group * 8 + at_row) * S::kSumStride + at_feature;
    to[0] = a, to[S::kSumStride] = b, to[8] = c, to[S::kSumStride + 8] = d;
  };
  if (steps == 0)
#pragma unroll
    for (Acc& v : acc) v = 0;
  if (splits > 1) {
#pragma unroll
    for (int j = 0; j < kHalf / 8; ++j) {
      const int group = half * (kHalf / 8) + j;
      if (group >= groups) break;
      const uint2 place = places[group];
      store_to_block(place.x + threadIdx.x % 128 * 16, place.y, bits(acc[j * 4]), bits(acc[j * 4 + 1]), bits(acc[j * 4 + 2]),
                     bits(acc[j * 4 + 3]));
    }
    named_barrier(1, S::kConsumers);  // all have read the ring: sums may overwrite it
    barrier_wait(&arrived, 0);
#pragma unroll 1
    for (int slot = half; slot < own_groups; slot += 2) {
      Acc total[4] = {};
      const uint8_t* from = received + slot * S::kGroupBytes + threadIdx.x % 128 * 16;
#pragma unroll 4
      for (int s = 0; s < splits; ++s, from += most * S::kGroupBytes) {  // in this order whoever owns the rows
        const uint4 part = *reinterpret_cast<const uint4*>(from);
        total[0] += from_bits<Acc>(part.x), total[1] += from_bits<Acc>(part.y);
        total[2] += from_bits<Acc>(part.z), total[3] += from_bits<Acc>(part.w);
      }
      store_sums(slot, total[0], total[1], total[2], total[3]);
    }
  } else {
    named_barrier(1, S::kConsumers);
#pragma unroll
    for (int j = 0; j < kHalf / 8; ++j)
      store_sums(half * (kHalf / 8) + j, acc[j * 4], acc[j * 4 + 1], acc[j * 4 + 2], acc[j * 4 + 3]);
  }
  copy_async_commit();
  copy_async_wait<0>();
  named_barrier(2, S::kConsumers + 32);  // with the warp of the rows' scales

  // Not unrolled further: instructions that run once cost more to fetch than to execute.
#pragma unroll 2
  for (int row = first_row; row - static_cast<int>(threadIdx.x) / 16 < end; row += kStep) {
    const bool mine = row < end;
    const int64_t m = m0 + row;
    const uint4 four = *reinterpret_cast<const uint4*>(sums + (row - begin) * S::kSumStride + feature);
    const uint32_t total[4] = {four.x, four.y, four.z, four.w};
    const float row_scale = g.stats ? row_scales[row - begin] : 1.0f;
    float add[4] = {};
    if (adds && mine) {
      if (vector) {
        const uint2 halves = residual[(row - begin) * 16];
        const float2 low = Pair<Out>::unpack(halves.x), high = Pair<Out>::unpack(halves.y);
        add[0] = low.x, add[1] = low.y, add[2] = high.x, add[3] = high.y;
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (i < valid) add[i] = to_float(residual_of(row)[i]);
      }
    }
    float v[4], sum = 0, square = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      v[i] = fmaf(value_of(from_bits<Acc>(total[i])) * scale[i], row_scale, bias[i]);
      v[i] = (gelus ? gelu(v[i]) : v[i]) + add[i];
      if (i < valid) {
        const float rounded = to_float(from_float<Out>(v[i]));
        sum += rounded;
        square = fmaf(rounded, rounded, square);
      }
    }
    if ((kAny || kEpilogue == Epilogue::kResidual) && g.stats_out) {
#pragma unroll
      for (int o = kStatsColumns / 8; o > 0; o /= 2) {
        sum += __shfl_xor_sync(~0u, sum, o);
        square += __shfl_xor_sync(~0u, square, o);
      }
      const float count = static_cast<float>(kAny ? min(int64_t{kStatsColumns}, g.n - column) : kStatsColumns);
      if (mine && valid > 0 && threadIdx.x % (kStatsColumns / 4) == 0)
        *reinterpret_cast<float2*>(g.stats_out + (column / kStatsColumns * g.m + m) * 2) =
            make_float2(sum / count, fmaxf(square - sum * sum / count, 0));
    }
    if (!mine || valid == 0) continue;
    if (kAny && g.d && g.out == Type::kF32) {
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
#endif
}

}  // namespace vitrail::cuda
