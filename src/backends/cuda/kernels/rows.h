// SPDX-License-Identifier: Apache-2.0
// Kernels that work row by row: normalisation, statistics, softmax, pooling.
#pragma once

#include <cuda_runtime.h>

#include "backends/cuda/kernels/types.h"

namespace vitrail::cuda {

// y = (x − mean)/√(variance + ε)·γ + β over the last axis (Ba et al. 2016), statistics in float32 in two passes over
// registers. `out` may be an 8-bit type: y·out_scale + out_zero, rounded to nearest even and saturated. With a residual it
// is of x + residual, as `sum` keeps it.
struct LayerNormArgs {
  const void* x = nullptr;  // [rows, columns] of `type` (kF32, kF16, kBF16)
  const void* residual = nullptr;  // null, or [residual_rows, columns] of `type`, again and again
  int64_t residual_rows = 0;
  void* sum = nullptr;  // with a residual: of x's shape and type; not x
  const float *gamma = nullptr, *beta = nullptr;  // [columns]; null for 1 and 0
  void* y = nullptr;        // [rows, columns] of `out`
  int64_t rows = 0;
  int columns = 0;
  float epsilon = 1e-5f;
  Type type = Type::kF16, out = Type::kF16;
  float out_scale = 1, out_zero = 0;
};
cudaError_t launch_layer_norm(const LayerNormArgs& args, cudaStream_t stream, bool dependent);

// (mean, Σ(x − mean)²) of each group of kStatsColumns columns: what GemmArgs::stats reads. stats [⌈columns/64⌉, rows, 2].
cudaError_t launch_row_stats(const void* x, Type type, int64_t rows, int columns, float* stats, cudaStream_t stream,
                             bool dependent);

// softmax over the last axis, float32 inside. In place is allowed.
cudaError_t launch_softmax(const void* x, void* y, Type type, int64_t rows, int columns, cudaStream_t stream,
                           bool dependent);

// Mean over the middle axis: x [outer, count, inner] -> y [outer, inner], float32 inside.
cudaError_t launch_mean(const void* x, void* y, Type type, int64_t outer, int64_t count, int64_t inner,
                        cudaStream_t stream, bool dependent);

}  // namespace vitrail::cuda
