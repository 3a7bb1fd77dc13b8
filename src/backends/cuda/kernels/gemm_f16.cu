// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/device/gemm_launch.cuh"

namespace vitrail::cuda::detail {

cudaError_t launch_gemm_f16(const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  return launch_gemm_of<__half, __half>(plan, stream, dependent);
}

}  // namespace vitrail::cuda::detail
