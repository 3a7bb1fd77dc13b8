// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/device/gemm_launch.cuh"

namespace vitrail::cuda::detail {

cudaError_t launch_gemm_bf16(const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  return launch_gemm_of<__nv_bfloat16, __nv_bfloat16>(plan, stream, dependent);
}

}  // namespace vitrail::cuda::detail
