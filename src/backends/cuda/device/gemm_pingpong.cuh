// SPDX-License-Identifier: Apache-2.0
// The product for many rows: persistent blocks of three warpgroups. One copies tiles into a ring of shared memory and
// fetches what the epilogues need, the other two each own a whole tile of D in turn, so that one's epilogue hides
// behind the other's products ("ping-pong", as in CUTLASS's KernelTmaWarpSpecializedPingpong).
#pragma once

#include "backends/cuda/device/math.cuh"
#include "backends/cuda/device/mma.cuh"
#include "backends/cuda/device/ptx.cuh"
#include "backends/cuda/device/wgmma.cuh"
#include "backends/cuda/kernels/types.h"

namespace vitrail::cuda {

struct PingpongMaps {
  CUtensorMap a, b, d, residual;
};

// What follows the product is compiled in: the code of a tile's epilogue runs once for each tile, so every instruction
// more is one more fetch from outside the instruction cache.
enum class Epilogue { kPlain, kGelu, kResidual, kTable };

template <class In, int kN>
struct PingpongShape {
  static constexpr int kM = 128;
  static constexpr int kK = 128 / sizeof(In);  // elements of a step: rows of 128 bytes
  static constexpr int kABytes = kM * 128, kBBytes = kN * 128;
  // D leaves in parts of 128 rows of 64 bytes, through three buffers a consumer: one is filled, one read by the copy
  // engine, one receives the residual of the part after next.
  static constexpr int kPart = kM * 64, kBuffers = 3;
  static constexpr int kStaging = kBuffers * kPart;
  static constexpr int kThreads = 384;
  // Of each consumer, for the tile in hand: bias and scale of the columns, scale of the rows.
  static constexpr int kVectors = ((sizeof(In) == 1 ? 2 : 1) * kN + kM) * 4;
  static constexpr int kRest = 1024 + 2 * (kStaging + kVectors) + 256;
  static constexpr int kStages = (227 * 1024 - kRest) / (kABytes + kBBytes);
  static constexpr int kSmem = kRest + kStages * (kABytes + kBBytes);
};

__device__ __forceinline__ float value_of(float v) { return v; }
__device__ __forceinline__ float value_of(int32_t v) { return __int2float_rn(v); }
__device__ __forceinline__ uint32_t bits(float v) { return __float_as_uint(v); }
__device__ __forceinline__ uint32_t bits(int32_t v) { return static_cast<uint32_t>(v); }
template <class T>
__device__ __forceinline__ T from_bits(uint32_t v) {
  if constexpr (std::is_same_v<T, float>) return __uint_as_float(v);
  else return static_cast<T>(v);
}

// With kCluster two blocks that own neighbouring tiles of a row of tiles share A: each loads a half and sends it to both.
// With kBytes D has the 8 bits of the inputs (GemmArgs::d8), else 16; with a residual it may have both.
template <class In, class Out, int kN, Epilogue kEpilogue, bool kBytes, bool kCluster>
__global__ void __launch_bounds__(384, 1)
    gemm_pingpong(const __grid_constant__ PingpongMaps maps, const __grid_constant__ GemmArgs g, int tiles_m, int tiles_n) {
#if __CUDA_ARCH_FEAT_SM90_ALL
  using S = PingpongShape<In, kN>;
  using Product = Wgmma<In, kN>;
  using Acc = typename Product::Accumulator;
  constexpr bool kScaled = sizeof(In) == 1;
  constexpr bool kAdds = kEpilogue == Epilogue::kResidual || kEpilogue == Epilogue::kTable;
  // A LayerNorm may be folded into the product; that of integers is a kernel of its own.
  constexpr bool kScalesRows = !kAdds && !std::is_same_v<In, int8_t>;
  constexpr int kPartColumns = kBytes ? 64 : 32, kParts = kN / kPartColumns;
  constexpr int kStatsParts = kN % 64 == 0 ? 2 : 3;  // parts of a group of columns whose statistics are taken together
  static_assert(!(kBytes && kAdds) && kN % kPartColumns == 0);
  extern __shared__ uint8_t dynamic[];
  uint8_t* smem = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(dynamic) + 1023) & ~uintptr_t{1023});
  uint8_t* const a_tiles = smem;
  uint8_t* const b_tiles = a_tiles + S::kStages * S::kABytes;
  uint8_t* const staging = b_tiles + S::kStages * S::kBBytes;
  uint8_t* const vectors = staging + 2 * S::kStaging;
  auto* full = reinterpret_cast<uint64_t*>(vectors + 2 * S::kVectors);
  uint64_t* empty = full + S::kStages;
  uint64_t* turn_of = empty + S::kStages;  // the other consumer has issued its products
  uint64_t* arrived = turn_of + 2;         // residual, by consumer and buffer
  // Named barriers, of a consumer and the warps that fetch its vectors: they are there; they have been read.
  const auto ready = [](int consumer) { return 3 + consumer; };
  const auto taken = [](int consumer) { return 5 + consumer; };

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
      barrier_init(turn_of + i, 1);
    }
    for (int i = 0; i < 2 * S::kBuffers; ++i) barrier_init(arrived + i, 1);
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
  auto bias_of = [&](int consumer) { return reinterpret_cast<float*>(vectors + consumer * S::kVectors); };

  if (warpgroup == 0) {
    registers_down<kScalesRows ? 56 : 24>();
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
    } else if (threadIdx.x >= 32) {
      // Three warps fetch the vectors of the tiles: the consumers would wait for them for longer than they multiply.
      const int helper = threadIdx.x - 32;
      int turn = 0;
      for (int tile = first; tile < tiles; tile += stride, ++turn) {
        const int consumer = turn % 2, m0 = row_of(tile), n0 = column_of(tile);
        float* const bias = bias_of(consumer);
        if (turn >= 2) named_barrier(taken(consumer), 128 + 96);
        for (int i = helper; i < kN; i += 96) {
          bias[i] = g.bias && n0 + i < g.n ? g.bias[n0 + i] : 0;
          if constexpr (kScaled) bias[kN + i] = g.col_scale && n0 + i < g.n ? g.col_scale[n0 + i] : 1;
        }
        if (kScalesRows && g.stats) {
          if (turn == 0) wait_for_previous_kernel();
          float* const rows = bias + (kScaled ? 2 : 1) * kN;
          for (int i = helper; i < S::kM; i += 96) {
            const int64_t row = min(static_cast<int64_t>(m0 + i), g.m - 1);
            rows[i] = merge_rstd<6>(g, row);
          }
        }
        __syncwarp();
        named_barrier_arrive(ready(consumer), 128 + 96);
      }
    }
    if constexpr (kCluster) {
      __syncwarp();
      cluster_arrive_relaxed();
      cluster_wait();
    }
    return;
  }

  registers_up<kScalesRows ? 224 : 240>();
  const int consumer = warpgroup - 1;
  const int thread = threadIdx.x % 128, lane = thread % 32, warp = thread / 32;
  const bool leader = thread == 0;
  uint8_t* const buffers = staging + consumer * S::kStaging;
  const float* const bias = bias_of(consumer);
  const float* const rows = bias + (kScaled ? 2 : 1) * kN;
  arrived += consumer * S::kBuffers;
  int buffer = 0;
  uint32_t phases = 0;  // of the buffers, a bit each
  Acc acc[2][kN / 2];
  wait_for_previous_kernel();

  int turn = 0;
  for (int tile = first; tile < tiles; tile += stride, ++turn) {
    if (turn % 2 != consumer) continue;
    const int m0 = row_of(tile), n0 = column_of(tile);
    const int parts = min(kParts, static_cast<int>(g.n - n0 + kPartColumns - 1) / kPartColumns);
    auto load_residual = [&](int part, int to) {
      barrier_expect(arrived + to, S::kPart);
      tensor_load(buffers + to * S::kPart, &maps.residual, arrived + to, n0 + part * kPartColumns, m0);
    };
    if (kEpilogue == Epilogue::kResidual && leader && parts > 0) {  // while the other consumer multiplies
      bulk_wait_read<0>();
      load_residual(0, buffer);
      if (parts > 1) load_residual(1, buffer == 2 ? 0 : buffer + 1);
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

    named_barrier(ready(consumer), 128 + 96);
    float row_scale[4];
    uint32_t table_row[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int r = i / 2 * 64 + warp * 16 + i % 2 * 8 + lane / 4;
      row_scale[i] = kScalesRows && g.stats ? rows[r] : 1.0f;
      if constexpr (kEpilogue == Epilogue::kTable)
        table_row[i] = static_cast<uint32_t>(m0 + r) % static_cast<uint32_t>(g.residual_rows) * static_cast<uint32_t>(g.n);
    }
    float sum[4] = {}, square[4] = {};  // of a group's columns, rounded as they are stored
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      if (part >= parts) break;
      const int column0 = n0 + part * kPartColumns;
      if constexpr (kEpilogue == Epilogue::kResidual) {
        barrier_wait(arrived + buffer, phases >> buffer & 1);
        phases ^= 1u << buffer;
      }
      // This thread's place in the buffer, whose rows of four 16-byte blocks are swizzled by two bits of the row, and that
      // of its columns in the vectors. Hidden from the compiler, which would otherwise keep the addresses of all parts in
      // registers that it does not have. 16 bits: block 0 or 1 of row lane % 16 of the warp's; 8 bits: two bytes.
      uint32_t place = smem_address(buffers) + buffer * S::kPart;
      place += kBytes ? (warp * 16 + lane / 4) * 64 + lane % 4 * 2
                      : (warp * 16 + lane % 16) * 64 + ((lane / 16 ^ (lane / 2 & 3)) << 4);
      uint32_t vector = smem_address(bias) + lane % 4 * 8;
      asm volatile("" : "+r"(place), "+r"(vector));
      uint32_t bytes[4][2] = {};  // of rows as row_scale counts them, when D has both forms: blocks 0 and 1, 2 and 3
#pragma unroll
      for (int j = 0; j < kPartColumns / 8; j += 2) {  // blocks j and j + 1 of eight columns
        float2 shift[2], factor[2];
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          const int column = part * kPartColumns + (j + k) * 8;
          shift[k] = load_shared_pair(vector + column * 4);
          factor[k] = kScaled ? load_shared_pair(vector + (kN + column) * 4) : float2{1, 1};
        }
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const uint32_t matrices = (place ^ j << 4) + h * 64 * 64;
          uint32_t four[4];  // rows lane / 4 and lane / 4 + 8 of block j, then of block j + 1
          if constexpr (kEpilogue == Epilogue::kResidual) load_matrices(four, matrices);
          float2 v[4];  // four chains of arithmetic at a time hide its latency
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            const int at = (part * (kPartColumns / 8) + j + k / 2) * 4 + k % 2 * 2;
            v[k] = make_float2(value_of(acc[h][at]), value_of(acc[h][at + 1]));
            if constexpr (kScaled) {
              v[k].x *= factor[k / 2].x;
              v[k].y *= factor[k / 2].y;
            }
            v[k].x = !kScalesRows ? v[k].x + shift[k / 2].x : fmaf(v[k].x, row_scale[h * 2 + k % 2], shift[k / 2].x);
            v[k].y = !kScalesRows ? v[k].y + shift[k / 2].y : fmaf(v[k].y, row_scale[h * 2 + k % 2], shift[k / 2].y);
          }
          if constexpr (kEpilogue == Epilogue::kGelu)
#pragma unroll
            for (int k = 0; k < 4; ++k) v[k] = make_float2(gelu(v[k].x), gelu(v[k].y));
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            if constexpr (kEpilogue == Epilogue::kTable) {
              const int column = column0 + (j + k / 2) * 8 + lane % 4 * 2;
              four[k] = column < g.n ? __ldg(reinterpret_cast<const uint32_t*>(static_cast<const Out*>(g.residual) +
                                                                               table_row[h * 2 + k % 2] + column))
                                     : 0;
            }
            if constexpr (kAdds) {
              const float2 residual = Pair<Out>::unpack(four[k]);
              v[k].x += residual.x;
              v[k].y += residual.y;
            }
            if constexpr (kBytes)
              store_shared(place + (h * 64 + k % 2 * 8) * 64 + (((j + k / 2) / 2 ^ (lane / 8 & 3)) << 4) + k / 2 * 8,
                           round_to_bytes<std::is_same_v<Acc, float>>(fmaf(v[k].x, g.d8_scale, g.d8_zero),
                                                                     fmaf(v[k].y, g.d8_scale, g.d8_zero)));
            else
              four[k] = Pair<Out>::pack(v[k].x, v[k].y);
            if constexpr (kScaled && kAdds)
              if (g.d8)
                bytes[h * 2 + k % 2][j / 2] |=
                    uint32_t{round_to_bytes<std::is_same_v<Acc, float>>(fmaf(v[k].x, g.d8_scale, g.d8_zero),
                                                                       fmaf(v[k].y, g.d8_scale, g.d8_zero))}
                    << k / 2 * 16;
            if constexpr (kAdds) {
              const float2 rounded = Pair<Out>::unpack(four[k]);  // columns past the last are zero
              sum[h * 2 + k % 2] += rounded.x + rounded.y;
              square[h * 2 + k % 2] =
                  fmaf(rounded.x, rounded.x, fmaf(rounded.y, rounded.y, square[h * 2 + k % 2]));
            }
          }
          if constexpr (!kBytes) store_matrices(matrices, four);
        }
      }
      if (kScaled && kAdds && g.d8) {
        // Four lanes have two bytes of each of four blocks; each takes one block whole.
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const bool high = lane & 2, odd = lane & 1;
          const uint32_t other = __shfl_xor_sync(~0u, high ? bytes[i][0] : bytes[i][1], 2);
          const uint32_t lower = high ? other : bytes[i][0], upper = high ? bytes[i][1] : other;
          const uint32_t kept = __byte_perm(lower, upper, odd ? 0x7632 : 0x5410);
          const uint32_t came = __shfl_xor_sync(~0u, __byte_perm(lower, upper, odd ? 0x5410 : 0x7632), 1);
          const int64_t row = m0 + i / 2 * 64 + warp * 16 + i % 2 * 8 + lane / 4;
          const int column = column0 + lane % 4 * 8;
          if (row < g.m && column < g.n)
            *reinterpret_cast<uint2*>(static_cast<uint8_t*>(g.d8) + row * g.n + column) =
                make_uint2(__byte_perm(odd ? came : kept, odd ? kept : came, 0x5410),
                           __byte_perm(odd ? came : kept, odd ? kept : came, 0x7632));
        }
      }
      if (kAdds && g.stats_out && (part % kStatsParts == kStatsParts - 1 || part == parts - 1)) {
        constexpr int kWidth = kStatsParts * kPartColumns;
        const int group = (n0 + part * kPartColumns) / kWidth;
        const float count = static_cast<float>(min(int64_t{kWidth}, g.n - group * kWidth));
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          float s = sum[i], q = square[i];
          s += __shfl_xor_sync(~0u, s, 1);
          q += __shfl_xor_sync(~0u, q, 1);
          s += __shfl_xor_sync(~0u, s, 2);
          q += __shfl_xor_sync(~0u, q, 2);
          const int64_t row = m0 + i / 2 * 64 + warp * 16 + i % 2 * 8 + lane / 4;
          if (lane % 4 == 0 && row < g.m)
            *reinterpret_cast<float2*>(g.stats_out + (group * g.m + row) * 2) =
                make_float2(s / count, fmaxf(q - s * s / count, 0));
          sum[i] = square[i] = 0;
        }
      }
      fence_async_proxy();
      if (leader) bulk_wait_read<1>();  // the buffer that comes next has left
      named_barrier(1 + consumer, 128);
      if (leader) {
        tensor_store(&maps.d, buffers + buffer * S::kPart, column0, m0);
        bulk_commit();
        if (kEpilogue == Epilogue::kResidual && part + 2 < parts) {
          bulk_wait_read<1>();
          load_residual(part + 2, buffer == 0 ? 2 : buffer - 1);
        }
      }
      buffer = buffer == 2 ? 0 : buffer + 1;
    }
    if (tile + 2 * stride < tiles) named_barrier_arrive(taken(consumer), 128 + 96);
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
