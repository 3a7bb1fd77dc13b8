// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vitrail/tensor.h"

namespace vitrail {

inline bool is_half(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }

// A float16 or bfloat16 tensor as float32, exactly. Its data may lie at any address.
Tensor widened(const Tensor& half);

}  // namespace vitrail
