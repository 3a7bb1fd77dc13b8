// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "vitrail/tensor.h"

namespace vitrail {

struct NonFinite {
  int64_t count = 0;
  int64_t first = -1;  // flat index of the first
};

// NaNs and infinities in a tensor, of any alignment; none in one of integers.
NonFinite find_non_finite(const TensorView& tensor);

}  // namespace vitrail
