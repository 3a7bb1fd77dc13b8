// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <array>
#include <vector>

#include "backends/cuda/kernels/types.h"

namespace vitrail::cuda {

// What the tensor copy engine needs to know of a tensor: extents and box innermost first, strides of all axes but the
// innermost, all in elements. The box is swizzled over its whole inner width, 64 or 128 bytes.
cudaError_t make_tensor_map(CUtensorMap* map, Type type, const void* data, const std::vector<int64_t>& extents,
                            const std::vector<int64_t>& strides, const std::vector<int>& box);

}  // namespace vitrail::cuda
