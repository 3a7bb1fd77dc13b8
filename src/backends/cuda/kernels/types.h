// SPDX-License-Identifier: Apache-2.0
// What the host code and the kernels agree on. Plain data: nvcc and the host compiler both read it.
#pragma once

#include <cstdint>

namespace vitrail::cuda {

// Element types on the device. kE4M3 is FP8 with 4 exponent bits, largest value 448 (Micikevicius et al. 2022).
enum class Type : uint8_t { kF32, kF16, kBF16, kE4M3, kS8, kU8 };

constexpr int type_size(Type t) {
  return t == Type::kF32 ? 4 : (t == Type::kF16 || t == Type::kBF16) ? 2 : 1;
}

// Activations that the matrix kernels apply in their epilogue.
enum class Activation : uint8_t { kNone, kGelu, kGeluTanh, kRelu, kSigmoid, kTanh };

// Row statistics are kept for groups of at least this many columns: (mean, sum of squared deviations) of each group, so
// that tiles of several widths can write them and they merge without cancellation (Chan et al. 1979).
constexpr int kStatsColumns = 64;

// D = activation(scale_m·col_scale_n·(A·Bᵀ) + bias_n) + residual, with scale_m = 1/σ of row m of A where `stats`
// are given: a LayerNorm folded into the product, whose γ and centring already are in B.
struct GemmArgs {
  const void* a = nullptr;            // [m, k], row-major, 16-byte aligned
  const void* b = nullptr;            // [n, k], row-major: the transposed weight
  int64_t m = 0, n = 0, k = 0;
  const float* bias = nullptr;        // [n] or null
  const float* col_scale = nullptr;   // [n] or null: scale of A times scale of B's row
  const float* stats = nullptr;       // [⌈stats_columns/stats_width⌉, m, 2] or null
  int stats_columns = 0;              // columns of the rows that the statistics describe (= k)
  int stats_width = kStatsColumns;    // columns of one of their groups
  float epsilon = 0;
  Activation activation = Activation::kNone;
  const void* residual = nullptr;     // [residual_rows, n] of D's type, row m reads m % residual_rows; or null
  int64_t residual_rows = 0;
  void* d = nullptr;                  // [m, n] of type `out`, or null when only d8 is wanted
  Type out = Type::kF16;
  float* stats_out = nullptr;         // [⌈n/GemmConfig::stats_width()⌉, m, 2]: statistics of D's rows as rounded to D's type; or null
  void* d8 = nullptr;                 // [m, n] of the inputs' 8-bit type: D·d8_scale + d8_zero, rounded and saturated; or null
  float d8_scale = 1, d8_zero = 0;
};

// softmax(scale·q·kᵀ [+ mask])·v for each image and head. Row strides in elements.
struct AttentionArgs {
  const void *q = nullptr, *k = nullptr, *v = nullptr;
  void* out = nullptr;                // [batch, sq, heads·dv]
  int64_t batch = 0;
  int heads = 0, sq = 0, sk = 0, d = 0, dv = 0;
  int64_t q_row = 0, k_row = 0, v_row = 0, out_row = 0;
  float scale = 1;
  const float* mask = nullptr;        // broadcast to [batch, heads, sq, sk] by the strides; or null
  int64_t mask_b = 0, mask_h = 0, mask_q = 0;
  Type type = Type::kF16;             // of q, k, v
  Type out_type = Type::kF16;         // kE4M3 and kS8: out·out_scale, rounded and saturated
  float out_scale = 1, out_zero = 0;
};

}  // namespace vitrail::cuda
