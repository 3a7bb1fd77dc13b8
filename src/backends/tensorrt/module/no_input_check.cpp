// SPDX-License-Identifier: Apache-2.0
// In place of input_check.cpp where Vitrail's kernels are not compiled: the host looks.
#include "backends/tensorrt/module/input_check.h"

namespace vitrail::tensorrt {

bool can_check(DType) { return false; }

cudaError_t queue_check(const void*, DType, int64_t, int*, cudaStream_t) { return cudaErrorNotSupported; }

}  // namespace vitrail::tensorrt
