// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/elementwise.h"

#include <algorithm>
#include <type_traits>

#include "backends/cuda/device/ptx.cuh"
#include "backends/cuda/device/vector.cuh"
#include "backends/cuda/kernels/grid.h"
#include "backends/cuda/kernels/launch.h"

namespace vitrail::cuda {
namespace {

constexpr int kThreads = 256;

// Types are told apart at run time, a run of elements at a time: one kernel serves all, and stays in the
// instruction cache when different layers use it in turn.
template <int kCount>
__device__ __forceinline__ void convert_at(const void* x, Type from, void* y, Type to, int64_t at,
                                           float scale, float zero) {
  float v[kCount];
  load_any(x, at, from, v);
  if (type_size(from) == 1) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) v[j] = (v[j] - zero) * scale;
  }
  store_any(y, at, to, v, scale, zero);
}

// `run` elements a thread: kRun, with single ones at the end, or 1 where the buffers are not aligned.
__global__ void __launch_bounds__(kThreads)
    convert(const void* x, Type from, void* y, Type to, int64_t count, float scale, float zero, int run) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  for (int64_t at = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * run; at < count;
       at += int64_t{gridDim.x} * kThreads * run) {
    if (run == kRun && at + kRun <= count) {
      convert_at<kRun>(x, from, y, to, at, scale, zero);
    } else {
      const int64_t end = min(at + run, count);
#pragma unroll 1
      for (int64_t i = at; i < end; ++i) convert_at<1>(x, from, y, to, i, scale, zero);
    }
  }
}

template <int kCount, class F>
__device__ __forceinline__ void each(float (&v)[kCount], F f) {
#pragma unroll
  for (int j = 0; j < kCount; ++j) v[j] = f(v[j]);
}

// The switch is outside the loop over the elements: only the code of one operator passes through the cache.
template <int kCount>
__device__ __forceinline__ void activate_all(float (&v)[kCount], Activation activation, bool exact) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kGelu:
      return exact ? each(v, [](float x) { return activate<true>(x, Activation::kGelu); })
                   : each(v, [](float x) { return activate<false>(x, Activation::kGelu); });
    case Activation::kGeluTanh:
      return each(v, [](float x) { return activate<true>(x, Activation::kGeluTanh); });
    case Activation::kRelu:
      return each(v, [](float x) { return activate<true>(x, Activation::kRelu); });
    case Activation::kSigmoid:
      return each(v, [](float x) { return activate<true>(x, Activation::kSigmoid); });
    case Activation::kTanh:
      return each(v, [](float x) { return activate<true>(x, Activation::kTanh); });
  }
}

template <int kCount>
__device__ __forceinline__ void apply(Unary op, float (&v)[kCount], bool exact) {
  switch (op) {
    case Unary::kGelu:
      return activate_all(v, Activation::kGelu, exact);
    case Unary::kGeluTanh:
      return activate_all(v, Activation::kGeluTanh, exact);
    case Unary::kRelu:
      return activate_all(v, Activation::kRelu, exact);
    case Unary::kSigmoid:
      return activate_all(v, Activation::kSigmoid, exact);
    case Unary::kTanh:
      return activate_all(v, Activation::kTanh, exact);
    case Unary::kErf:
      return each(v, [](float x) { return erff(x); });
    case Unary::kExp:
      return each(v, [](float x) { return expf(x); });
    case Unary::kSqrt:
      return each(v, [](float x) { return sqrtf(x); });
    case Unary::kAbs:
      return each(v, [](float x) { return fabsf(x); });
    case Unary::kNeg:
      return each(v, [](float x) { return -x; });
    case Unary::kReciprocal:
      return each(v, [](float x) { return 1 / x; });
  }
}

template <int kCount>
__device__ __forceinline__ void unary_at(Unary op, const void* x, void* y, Type type, int64_t at) {
  float v[kCount];
  load_any(x, at, type, v);
  apply(op, v, type == Type::kF32);
  store_any(y, at, type, v, 1, 0);
}

template <int kCount>
__global__ void __launch_bounds__(kThreads)
    unary(Unary op, const void* x, void* y, Type type, int64_t count) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  for (int64_t at = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kCount; at < count;
       at += int64_t{gridDim.x} * kThreads * kCount)
    unary_at<kCount>(op, x, y, type, at);
}

// x of from = kS8 are the int32 sums of an int8 product, which Type has no name for.
template <int kCount>
__device__ __forceinline__ void load_sums(const void* x, int64_t at, float (&v)[kCount]) {
  load(static_cast<const float*>(x) + at, v);
#pragma unroll
  for (int j = 0; j < kCount; ++j) v[j] = static_cast<float>(__float_as_int(v[j]));
}

// A warp keeps to its columns, so that their bias and scale are read once, and walks down the rows.
template <int kCount>
__global__ void __launch_bounds__(kThreads) epilogue(const __grid_constant__ EpilogueArgs a) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  constexpr int kWidth = 32 * kCount;
  for (int64_t c = int64_t{blockIdx.y} * kWidth + threadIdx.x % 32 * kCount; c < a.columns;
       c += int64_t{gridDim.y} * kWidth) {
    float bias[kCount] = {}, scale[kCount];
    each(scale, [](float) { return 1.0f; });
    if (a.bias) load(a.bias + c, bias);
    if (a.col_scale) load(a.col_scale + c, scale);
    for (int64_t row = int64_t{blockIdx.x} * (kThreads / 32) + threadIdx.x / 32; row < a.rows;
         row += int64_t{gridDim.x} * (kThreads / 32)) {
      float v[kCount], residual[kCount] = {};
      if (a.residual) load_any(a.residual, row % a.residual_rows * a.columns + c, a.residual_type, residual);
      if (a.from == Type::kS8)
        load_sums(a.x, row * a.columns + c, v);
      else
        load_any(a.x, row * a.columns + c, a.from, v);
#pragma unroll
      for (int j = 0; j < kCount; ++j) v[j] = fmaf(v[j], scale[j], bias[j]);
      activate_all(v, a.activation, a.exact);
#pragma unroll
      for (int j = 0; j < kCount; ++j) v[j] += residual[j];
      store_any(a.y, row * a.columns + c, a.to, v, a.out_scale, a.out_zero);
    }
  }
}

}  // namespace

cudaError_t launch_convert(const void* x, Type from, void* y, Type to, int64_t count, float scale, float zero,
                           cudaStream_t stream, bool dependent) {
  if (count <= 0) return cudaSuccess;
  if (!is_float(from) && !is_float(to)) return cudaErrorInvalidValue;  // whose scale would it be?
  const int run = aligned16(x, y) ? kRun : 1;
  return launch(convert,
                {dim3(blocks_of(count, int64_t{kThreads} * run)), dim3(kThreads), 0, 1, dependent}, stream,
                x, from, y, to, count, scale, zero, run);
}

cudaError_t launch_unary(Unary op, const void* x, void* y, Type type, int64_t count, cudaStream_t stream,
                         bool dependent) {
  if (count <= 0) return cudaSuccess;
  if (!is_float(type)) return cudaErrorInvalidValue;
  const bool vector = count % kRun == 0 && aligned16(x, y);
  return launch(
      vector ? unary<kRun> : unary<1>,
      {dim3(blocks_of(count, int64_t{kThreads} * (vector ? kRun : 1))), dim3(kThreads), 0, 1, dependent},
      stream, op, x, y, type, count);
}

cudaError_t launch_epilogue(const EpilogueArgs& a, cudaStream_t stream, bool dependent) {
  if (a.rows <= 0 || a.columns <= 0) return cudaSuccess;
  if (!is_float(a.from) && a.from != Type::kS8) return cudaErrorInvalidValue;
  if (a.residual && (!is_float(a.residual_type) || a.residual_rows < 1)) return cudaErrorInvalidValue;
  const bool vector = a.columns % kRun == 0 && aligned16(a.x, a.y, a.bias, a.col_scale, a.residual);
  const int64_t width = 32 * (vector ? kRun : 1), slices = (a.columns + width - 1) / width;
  // Four rows a warp where that leaves enough warps to fill a machine.
  const int64_t rows = kThreads / 32 * (a.rows * slices >= 16384 ? 4 : 1);
  const dim3 grid(blocks_of(a.rows, rows), static_cast<unsigned>(std::min<int64_t>(slices, 65535)));
  return launch(vector ? epilogue<kRun> : epilogue<1>, {grid, dim3(kThreads), 0, 1, dependent}, stream, a);
}

}  // namespace vitrail::cuda
