// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/device/gemm_launch.cuh"

namespace vitrail::cuda::detail {

cudaError_t launch_gemm_s8(const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  return launch_gemm_of<int8_t, __half>(plan, stream, dependent);
}

}  // namespace vitrail::cuda::detail
