// SPDX-License-Identifier: Apache-2.0
// A LayerNormalization taken into the product behind it:
//
//   ((x − μ)/σ · γ + β) · W + b  =  (1/σ) · x · W′ + b′
//
// with W′ = γ ⊙ W, each column of it then centred over K (Σk W′[k,n] = 0, so that the mean of x drops out),
// and b′ = β·W + b. Only 1/σ is left for run time: the product's epilogue multiplies its rows by it.
#pragma once

#include <cstdint>
#include <span>

namespace vitrail::cuda {

// A weight [K, N] and the LayerNormalization in front of it.
struct NormedWeight {
  const float* weight = nullptr;
  int64_t k = 0, n = 0;
  std::span<const float> gamma, beta;  // [K], each empty for 1 or 0
  std::span<const float> bias;         // [N], empty for 0
};

// Columns [first, first + count) of W′ to `out` [K, count], and their b′ to `bias` [count]. Sums in double; a column
// does not depend on how they are cut.
void fold_norm(const NormedWeight& normed, int64_t first, int64_t count, float* out, float* bias);

}  // namespace vitrail::cuda
