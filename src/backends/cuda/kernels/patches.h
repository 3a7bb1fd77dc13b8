// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include "backends/cuda/kernels/types.h"

namespace vitrail::cuda {

// The image as a matrix whose rows are patches: row image·(prefix + P) + prefix + p holds patch p (row-major over the
// grid) with columns ordered (channel, y, x), as a convolution with kernel = stride reads it (Dosovitskiy et al. 2021).
// The `prefix` first rows of each image are zero: the rows of the class and register tokens.
struct PatchesArgs {
  const void* image = nullptr;
  Type image_type = Type::kF32;  // kF32: [batch, channels, height, width]; kU8: [batch, height, width, channels]
  // For kU8: value·scale[c] + shift[c] is what the model was trained on, ((v/255) − mean)/std.
  float scale[4] = {1, 1, 1, 1}, shift[4] = {};
  void* rows = nullptr;          // [batch·(prefix + P), k_padded] of `type`
  Type type = Type::kF16;        // kF32, kF16, kBF16; 8-bit: value·out_scale + out_zero, saturated
  float out_scale = 1, out_zero = 0;
  int64_t batch = 0;
  int channels = 3, height = 0, width = 0, patch_h = 0, patch_w = 0, prefix = 0;
  int* non_finite = nullptr;     // set to 1 when a kF32 image holds NaN or infinity; or null
  int64_t k_padded = 0;          // ≥ channels·patch_h·patch_w; the rest is zero
};
cudaError_t launch_patches(const PatchesArgs& args, cudaStream_t stream, bool dependent);

}  // namespace vitrail::cuda
