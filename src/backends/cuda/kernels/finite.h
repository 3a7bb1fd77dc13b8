// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include "backends/cuda/kernels/types.h"

namespace vitrail::cuda {

// Sets *flag to 1 when an element of x (kF32, kF16 or kBF16) is NaN or infinite; else leaves it.
cudaError_t launch_find_non_finite(const void* x, Type type, int64_t count, int* flag, cudaStream_t stream,
                                   bool dependent);

}  // namespace vitrail::cuda
