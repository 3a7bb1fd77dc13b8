// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "vitrail/status.h"
#include "vitrail/tensor.h"

namespace vitrail {

// The elements of a tensor of any type as doubles (exact but for 64-bit integers beyond 2^53).
Result<std::vector<double>> elements(const TensorView& tensor);

}  // namespace vitrail
