// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/finite.h"

#include "backends/cuda/device/ptx.cuh"
#include "backends/cuda/device/vector.cuh"
#include "backends/cuda/kernels/grid.h"
#include "backends/cuda/kernels/launch.h"

namespace vitrail::cuda {
namespace {

constexpr int kThreads = 256;

template <int kCount>
__global__ void __launch_bounds__(kThreads) find_non_finite(const void* x, Type type, int64_t count, int* flag) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  bool bad = false;
  for (int64_t at = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kCount; at < count;
       at += int64_t{gridDim.x} * kThreads * kCount) {
    float v[kCount];
    load_any(x, at, type, v);
#pragma unroll
    for (int j = 0; j < kCount; ++j) bad |= !isfinite(v[j]);
  }
  if (bad) *flag = 1;
}

}  // namespace

cudaError_t launch_find_non_finite(const void* x, Type type, int64_t count, int* flag, cudaStream_t stream,
                                   bool dependent) {
  if (count <= 0) return cudaSuccess;
  if (!is_float(type)) return cudaErrorInvalidValue;
  const bool vector = count % kRun == 0 && aligned16(x);
  return launch(vector ? find_non_finite<kRun> : find_non_finite<1>,
                {dim3(blocks_of(count, int64_t{kThreads} * (vector ? kRun : 1))), dim3(kThreads), 0, 1, dependent}, stream,
                x, type, count, flag);
}

}  // namespace vitrail::cuda
