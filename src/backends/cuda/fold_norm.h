// SPDX-License-Identifier: Apache-2.0
// A LayerNormalization taken into the product behind it:
//
//   ((x − μ)/σ · γ + β) · W + b  =  (1/σ) · x · W′ + b′
//
// with W′ = γ ⊙ W, each column of it then centred over K (Σk W′[k,n] = 0, so that the mean of x drops out),
// and b′ = β·W + b. Only 1/σ is left for run time: the product's epilogue multiplies its rows by it.
#pragma once

#include <span>

#include "vitrail/tensor.h"

namespace vitrail::cuda {

struct FoldedNorm {
  Tensor weight;  // float32 [K, N]
  Tensor bias;    // float32 [N]
};
// weight [K, N]; gamma and beta [K], bias [N], each empty for 1 or 0. Sums in double.
FoldedNorm fold_norm(const Tensor& weight, std::span<const float> gamma, std::span<const float> beta,
                     std::span<const float> bias);

}  // namespace vitrail::cuda
