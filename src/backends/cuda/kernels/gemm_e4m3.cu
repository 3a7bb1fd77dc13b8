// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/device/gemm_launch.cuh"

namespace vitrail::cuda::detail {

cudaError_t launch_gemm_e4m3(const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  return launch_gemm_of<__nv_fp8_e4m3, __half>(plan, stream, dependent);
}

}  // namespace vitrail::cuda::detail
