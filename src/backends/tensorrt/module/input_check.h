// SPDX-License-Identifier: Apache-2.0
// NaN and infinity are looked for where the input already is: to read it all once more on the host takes milliseconds.
#pragma once

#include <cuda_runtime.h>

#include "vitrail/tensor.h"

namespace vitrail::tensorrt {

// Whether queue_check() can look at a tensor of this type; integers need no look. False without Vitrail's kernels.
bool can_check(DType dtype);

// Sets *flag, pinned memory, to 1 when one of `count` elements on the device is NaN or infinite.
cudaError_t queue_check(const void* data, DType dtype, int64_t count, int* flag, cudaStream_t stream);

}  // namespace vitrail::tensorrt
