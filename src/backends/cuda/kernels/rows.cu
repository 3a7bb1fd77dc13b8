// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/rows.h"

#include "backends/cuda/device/ptx.cuh"
#include "backends/cuda/device/vector.cuh"
#include "backends/cuda/kernels/grid.h"
#include "backends/cuda/kernels/launch.h"

namespace vitrail::cuda {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32, kWideThreads = 256;
constexpr int kChunk = 32 * kRun;  // columns that a warp takes in one access
constexpr int kMaxChunks = 8;      // of a row held in registers: 2048 columns

// One row in the registers of a warp; lanes behind its end hold `fill`. The addresses are clamped instead of
// the loads being skipped, so that all of them are in flight together.
template <class T, int kChunks>
__device__ __forceinline__ void load_row(const T* x, int columns, int lane, float fill,
                                         float (&v)[kChunks][kRun]) {
#pragma unroll
  for (int i = 0; i < kChunks; ++i) load(x + min(i * kChunk + lane * kRun, columns - kRun), v[i]);
#pragma unroll
  for (int i = 0; i < kChunks; ++i)
#pragma unroll
    for (int j = 0; j < kRun; ++j) v[i][j] = i * kChunk + lane * kRun < columns ? v[i][j] : fill;
}

// Over all threads of a block of kWideThreads, to all of them.
__device__ __forceinline__ float block_sum(float v) {
  __shared__ float parts[kWideThreads / 32];
  v = warp_sum(v);
  __syncthreads();  // the last call's parts are read
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
  __syncthreads();
  return warp_sum(threadIdx.x % 32 < kWideThreads / 32 ? parts[threadIdx.x % 32] : 0.0f);
}
__device__ __forceinline__ float block_max(float v) {
  __shared__ float parts[kWideThreads / 32];
  v = warp_max(v);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
  __syncthreads();
  return warp_max(parts[threadIdx.x % (kWideThreads / 32)]);
}

template <int kCount>
__device__ __forceinline__ void normalize(const LayerNormArgs& a, int64_t row, int c, float mean, float rstd,
                                          float (&v)[kCount]) {
  float gamma[kCount], beta[kCount];
  if (a.gamma) load(a.gamma + c, gamma);
  if (a.beta) load(a.beta + c, beta);
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    v[j] = (v[j] - mean) * rstd;
    v[j] = fmaf(v[j], a.gamma ? gamma[j] : 1.0f, a.beta ? beta[j] : 0.0f);
  }
  store_any(a.y, row * a.columns + c, a.out, v, a.out_scale, a.out_zero);
}

// v += residual, rounded to T and kept: statistics are of what the next layer reads.
template <class T, int kCount>
__device__ __forceinline__ void add_residual(const LayerNormArgs& a, int64_t row, int c, float (&v)[kCount]) {
  float r[kCount];
  load(static_cast<const T*>(a.residual) + row % a.residual_rows * a.columns + c, r);
#pragma unroll
  for (int j = 0; j < kCount; ++j) v[j] = to_float(from_float<T>(v[j] + r[j]));
  store(static_cast<T*>(a.sum) + row * a.columns + c, v);
}

template <class T, int kChunks>
__global__ void __launch_bounds__(kThreads) layer_norm_warp(const __grid_constant__ LayerNormArgs a) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int lane = threadIdx.x % 32;
  for (int64_t row = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32; row < a.rows;
       row += int64_t{gridDim.x} * kWarps) {
    float v[kChunks][kRun];
    load_row(static_cast<const T*>(a.x) + row * a.columns, a.columns, lane, 0.0f, v);
    if (a.residual)
#pragma unroll
      for (int i = 0; i < kChunks; ++i) {
        const int c = i * kChunk + lane * kRun;
        if (c < a.columns) add_residual<T>(a, row, c, v[i]);
      }
    float sum = 0, square = 0;
#pragma unroll
    for (int i = 0; i < kChunks; ++i)
#pragma unroll
      for (int j = 0; j < kRun; ++j) sum += v[i][j];
    const float mean = warp_sum(sum) / static_cast<float>(a.columns);
#pragma unroll
    for (int i = 0; i < kChunks; ++i)
#pragma unroll
      for (int j = 0; j < kRun; ++j) {
        const float d = i * kChunk + lane * kRun < a.columns ? v[i][j] - mean : 0.0f;
        square = fmaf(d, d, square);
      }
    const float rstd = rsqrtf(warp_sum(square) / static_cast<float>(a.columns) + a.epsilon);
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const int c = i * kChunk + lane * kRun;
      if (c < a.columns) normalize(a, row, c, mean, rstd, v[i]);
    }
  }
}

// A block a row, which is read three times: from the caches after the first.
template <class T, int kCount>
__global__ void __launch_bounds__(kWideThreads) layer_norm_block(const __grid_constant__ LayerNormArgs a) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int first = threadIdx.x * kCount, step = kWideThreads * kCount;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const T* x = static_cast<const T*>(a.x) + row * a.columns;
    float v[kCount], sum = 0, square = 0;
    for (int c = first; c < a.columns; c += step) {
      load(x + c, v);
      if (a.residual) add_residual<T>(a, row, c, v);
#pragma unroll
      for (int j = 0; j < kCount; ++j) sum += v[j];
    }
    const float mean = block_sum(sum) / static_cast<float>(a.columns);
    if (a.residual) x = static_cast<const T*>(a.sum) + row * a.columns;  // a thread reads what it wrote
    for (int c = first; c < a.columns; c += step) {
      load(x + c, v);
#pragma unroll
      for (int j = 0; j < kCount; ++j) square = fmaf(v[j] - mean, v[j] - mean, square);
    }
    const float rstd = rsqrtf(block_sum(square) / static_cast<float>(a.columns) + a.epsilon);
    for (int c = first; c < a.columns; c += step) {
      load(x + c, v);
      normalize(a, row, c, mean, rstd, v);
    }
  }
}

// 8 lanes a group of 64 columns, wherever the group lies: rows need no bound.
template <class T, int kCount>
__global__ void __launch_bounds__(kThreads)
    row_stats(const T* x, int64_t rows, int groups, int columns, float* stats) {
  constexpr int kLanes = kStatsColumns / kRun;
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int lane = threadIdx.x % kLanes;
  const int64_t units = rows * groups;
  // All lanes of a warp run every round, as the shuffles need.
  for (int64_t base = int64_t{blockIdx.x} * (kThreads / kLanes); base < units;
       base += int64_t{gridDim.x} * (kThreads / kLanes)) {
    const int64_t unit = min(base + threadIdx.x / kLanes, units - 1);
    const int64_t row = unit / groups, group = unit % groups;
    const int column0 = static_cast<int>(group) * kStatsColumns,
              count = min(kStatsColumns, columns - column0);
    const T* from = x + row * columns + column0;
    float v[kRun] = {};
    if constexpr (kCount == kRun) {
      if (lane * kRun < count) load(from + lane * kRun, v);
    } else {
#pragma unroll
      for (int j = 0; j < kRun; ++j)
        if (j * kLanes + lane < count) v[j] = to_float(from[j * kLanes + lane]);
    }
    float sum = 0, square = 0;
#pragma unroll
    for (int j = 0; j < kRun; ++j) sum += v[j];
#pragma unroll
    for (int o = kLanes / 2; o > 0; o /= 2) sum += __shfl_xor_sync(~0u, sum, o);
    const float mean = sum / static_cast<float>(count);
#pragma unroll
    for (int j = 0; j < kRun; ++j) {
      const float d = (kCount == kRun ? lane * kRun : j * kLanes + lane) < count ? v[j] - mean : 0.0f;
      square = fmaf(d, d, square);
    }
#pragma unroll
    for (int o = kLanes / 2; o > 0; o /= 2) square += __shfl_xor_sync(~0u, square, o);
    if (lane == 0 && base + threadIdx.x / kLanes < units)
      *reinterpret_cast<float2*>(stats + (group * rows + row) * 2) = make_float2(mean, square);
  }
}

template <class T, int kChunks>
__global__ void __launch_bounds__(kThreads) softmax_warp(const T* x, T* y, int64_t rows, int columns) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int lane = threadIdx.x % 32;
  for (int64_t row = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32; row < rows;
       row += int64_t{gridDim.x} * kWarps) {
    float v[kChunks][kRun], top = -INFINITY, sum = 0;
    load_row(x + row * columns, columns, lane, -INFINITY, v);
#pragma unroll
    for (int i = 0; i < kChunks; ++i)
#pragma unroll
      for (int j = 0; j < kRun; ++j) top = fmaxf(top, v[i][j]);
    top = warp_max(top);
#pragma unroll
    for (int i = 0; i < kChunks; ++i)
#pragma unroll
      for (int j = 0; j < kRun; ++j) {
        v[i][j] = expf(v[i][j] - top);
        sum += v[i][j];
      }
    const float factor = 1 / warp_sum(sum);
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const int c = i * kChunk + lane * kRun;
#pragma unroll
      for (int j = 0; j < kRun; ++j) v[i][j] *= factor;
      if (c < columns) store(y + row * columns + c, v[i]);
    }
  }
}

// A block a row; y may be x, so every thread writes only where it alone reads.
template <class T, int kCount>
__global__ void __launch_bounds__(kWideThreads) softmax_block(const T* x, T* y, int64_t rows, int columns) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int first = threadIdx.x * kCount, step = kWideThreads * kCount;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* from = x + row * columns;
    float v[kCount], top = -INFINITY, sum = 0;
    for (int c = first; c < columns; c += step) {
      load(from + c, v);
#pragma unroll
      for (int j = 0; j < kCount; ++j) top = fmaxf(top, v[j]);
    }
    top = block_max(top);
    for (int c = first; c < columns; c += step) {
      load(from + c, v);
#pragma unroll
      for (int j = 0; j < kCount; ++j) sum += expf(v[j] - top);
    }
    const float factor = 1 / block_sum(sum);
    for (int c = first; c < columns; c += step) {
      load(from + c, v);
#pragma unroll
      for (int j = 0; j < kCount; ++j) v[j] = expf(v[j] - top) * factor;
      store(y + row * columns + c, v);
    }
  }
}

// A block takes `lanes` runs of columns and divides `count` among its other threads.
template <class T, int kCount>
__global__ void __launch_bounds__(kWideThreads)
    mean_middle(const T* x, T* y, int64_t outer, int64_t count, int64_t inner, int lanes) {
  __shared__ float parts[kCount][kWideThreads];
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int lane = threadIdx.x % lanes, part = threadIdx.x / lanes, sharers = kWideThreads / lanes;
  const int64_t slices = (inner + lanes * kCount - 1) / (lanes * kCount);
  for (int64_t unit = blockIdx.x; unit < outer * slices; unit += gridDim.x) {
    const int64_t o = unit / slices, column = (unit % slices * lanes + lane) * kCount;
    float sum[kCount] = {};
    if (column < inner)
#pragma unroll 4
      for (int64_t i = part; i < count; i += sharers) {
        float v[kCount];
        load(x + (o * count + i) * inner + column, v);
#pragma unroll
        for (int j = 0; j < kCount; ++j) sum[j] += v[j];
      }
#pragma unroll
    for (int j = 0; j < kCount; ++j) parts[j][threadIdx.x] = sum[j];
    for (int half = sharers / 2; half > 0; half /= 2) {
      __syncthreads();
      if (part < half)
#pragma unroll
        for (int j = 0; j < kCount; ++j) parts[j][threadIdx.x] += parts[j][threadIdx.x + half * lanes];
    }
    if (part == 0 && column < inner) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) sum[j] = parts[j][threadIdx.x] / static_cast<float>(count);
      store(y + o * inner + column, sum);
    }
    __syncthreads();
  }
}

// Calls f with a null pointer to the element type.
template <class F>
cudaError_t with_type(Type type, F f) {
  switch (type) {
    case Type::kF32:
      return f(static_cast<float*>(nullptr));
    case Type::kF16:
      return f(static_cast<__half*>(nullptr));
    case Type::kBF16:
      return f(static_cast<__nv_bfloat16*>(nullptr));
    default:
      return cudaErrorInvalidValue;
  }
}

// The kernel that holds just enough chunks: of 1, 2, 3, 4 and 8, as every one costs registers.
template <class Kernel>
Kernel for_columns(int columns, Kernel k1, Kernel k2, Kernel k3, Kernel k4, Kernel k8) {
  const int chunks = (columns + kChunk - 1) / kChunk;
  return chunks <= 1 ? k1 : chunks == 2 ? k2 : chunks == 3 ? k3 : chunks == 4 ? k4 : k8;
}

}  // namespace

cudaError_t launch_layer_norm(const LayerNormArgs& a, cudaStream_t stream, bool dependent) {
  if (a.rows <= 0 || a.columns <= 0) return cudaSuccess;
  const bool vector = a.columns % kRun == 0 && aligned16(a.x, a.y, a.gamma, a.beta, a.residual, a.sum);
  return with_type(a.type, [&]<class T>(T*) {
    if (vector && a.columns <= kMaxChunks * kChunk)
      return launch(for_columns(a.columns, layer_norm_warp<T, 1>, layer_norm_warp<T, 2>,
                                layer_norm_warp<T, 3>, layer_norm_warp<T, 4>, layer_norm_warp<T, 8>),
                    {dim3(blocks_of(a.rows, kWarps)), dim3(kThreads), 0, 1, dependent}, stream, a);
    return launch(vector ? layer_norm_block<T, kRun> : layer_norm_block<T, 1>,
                  {dim3(blocks_of(a.rows, 1)), dim3(kWideThreads), 0, 1, dependent}, stream, a);
  });
}

cudaError_t launch_row_stats(const void* x, Type type, int64_t rows, int columns, float* stats,
                             cudaStream_t stream, bool dependent) {
  if (rows <= 0 || columns <= 0) return cudaSuccess;
  const int groups = (columns + kStatsColumns - 1) / kStatsColumns;
  return with_type(type, [&]<class T>(T*) {
    return launch(columns % kRun == 0 && aligned16(x) ? row_stats<T, kRun> : row_stats<T, 1>,
                  {dim3(blocks_of(rows * groups, kThreads * kRun / kStatsColumns)), dim3(kThreads), 0, 1, dependent}, stream,
                  static_cast<const T*>(x), rows, groups, columns, stats);
  });
}

cudaError_t launch_softmax(const void* x, void* y, Type type, int64_t rows, int columns, cudaStream_t stream,
                           bool dependent) {
  if (rows <= 0 || columns <= 0) return cudaSuccess;
  const bool vector = columns % kRun == 0 && aligned16(x, y);
  return with_type(type, [&]<class T>(T*) {
    const T* from = static_cast<const T*>(x);
    T* to = static_cast<T*>(y);
    if (vector && columns <= kMaxChunks * kChunk)
      return launch(for_columns(columns, softmax_warp<T, 1>, softmax_warp<T, 2>, softmax_warp<T, 3>,
                                softmax_warp<T, 4>, softmax_warp<T, 8>),
                    {dim3(blocks_of(rows, kWarps)), dim3(kThreads), 0, 1, dependent}, stream, from, to,
                    rows, columns);
    return launch(vector ? softmax_block<T, kRun> : softmax_block<T, 1>,
                  {dim3(blocks_of(rows, 1)), dim3(kWideThreads), 0, 1, dependent}, stream, from, to, rows,
                  columns);
  });
}

cudaError_t launch_mean(const void* x, void* y, Type type, int64_t outer, int64_t count, int64_t inner,
                        cudaStream_t stream, bool dependent) {
  if (outer <= 0 || inner <= 0) return cudaSuccess;
  const bool vector = inner % kRun == 0 && aligned16(x, y);
  int lanes = 1;  // a power of two; 8 vectors are a line of 16-bit elements
  while (lanes < (vector ? 8 : 32) && lanes < (vector ? inner / kRun : inner)) lanes *= 2;
  const int64_t slices = (inner + lanes * (vector ? kRun : 1) - 1) / (lanes * (vector ? kRun : 1));
  return with_type(type, [&]<class T>(T*) {
    return launch(vector ? mean_middle<T, kRun> : mean_middle<T, 1>,
                  {dim3(blocks_of(outer * slices, 1)), dim3(kWideThreads), 0, 1, dependent}, stream,
                  static_cast<const T*>(x), static_cast<T*>(y), outer, count, inner, lanes);
  });
}

}  // namespace vitrail::cuda
