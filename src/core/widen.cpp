// SPDX-License-Identifier: Apache-2.0
#include "core/widen.h"

#include <algorithm>

#include "core/half.h"

namespace vitrail {

Tensor widened(const Tensor& half) {
  Tensor out(DType::kF32, half.shape());
  const bool f16 = half.dtype() == DType::kF16;
  const Tensor aligned = reinterpret_cast<uintptr_t>(half.data()) % alignof(uint16_t) == 0 ? half : half.clone();
  std::ranges::transform(aligned.as<uint16_t>(), out.as_mutable<float>().begin(),
                         [f16](uint16_t v) { return f16 ? half_to_float(v) : bfloat16_to_float(v); });
  return out;
}

}  // namespace vitrail
