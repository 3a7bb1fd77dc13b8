// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/patches.h"

#include <algorithm>

#include "backends/cuda/device/ptx.cuh"
#include "backends/cuda/device/vector.cuh"
#include "backends/cuda/kernels/grid.h"
#include "backends/cuda/kernels/launch.h"

namespace vitrail::cuda {
namespace {

constexpr int kMaxThreads = 256, kScaledChannels = 4;

// A block a row. `whole_runs`: every run of 8 columns lies in one line of the image, 16-byte aligned.
template <int kCount>
__global__ void __launch_bounds__(kMaxThreads)
    patches(const __grid_constant__ PatchesArgs a, int grid_w, int tokens, bool whole_runs) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int area = a.patch_h * a.patch_w, k = a.channels * area;
  for (int64_t row = blockIdx.x; row < a.batch * tokens; row += gridDim.x) {
    const int64_t image = row / tokens;
    const int patch = static_cast<int>(row % tokens) - a.prefix;
    const int y0 = patch / grid_w * a.patch_h, x0 = patch % grid_w * a.patch_w;
    for (int64_t c0 = int64_t{threadIdx.x} * kCount; c0 < a.k_padded; c0 += int64_t{blockDim.x} * kCount) {
      float v[kCount] = {};
      if (patch >= 0 && c0 < k) {
        const int first = static_cast<int>(c0);
        int channel = first / area, y = first % area / a.patch_w, x = first % a.patch_w;
        if (a.image_type == Type::kF32) {
          const float* from = static_cast<const float*>(a.image) + image * a.channels * a.height * a.width;
          if (kCount > 1 && whole_runs) {
            load(from + (int64_t{channel} * a.height + y0 + y) * a.width + x0 + x, v);
          } else {
#pragma unroll
            for (int j = 0; j < kCount; ++j) {
              if (first + j < k) v[j] = from[(int64_t{channel} * a.height + y0 + y) * a.width + x0 + x];
              if (++x == a.patch_w) x = 0, ++y;
              if (y == a.patch_h) y = 0, ++channel;
            }
          }
        } else {
          const uint8_t* from =
              static_cast<const uint8_t*>(a.image) + image * a.channels * a.height * a.width;
#pragma unroll
          for (int j = 0; j < kCount; ++j) {
            if (first + j < k)
              v[j] =
                  fmaf(static_cast<float>(from[(int64_t{y0 + y} * a.width + x0 + x) * a.channels + channel]),
                       a.scale[channel], a.shift[channel]);
            if (++x == a.patch_w) x = 0, ++y;
            if (y == a.patch_h) y = 0, ++channel;
          }
        }
      }
      if (a.non_finite) {
        bool bad = false;
#pragma unroll
        for (int j = 0; j < kCount; ++j) bad |= !isfinite(v[j]);
        if (bad) *a.non_finite = 1;
      }
      // Prefix and padding are the number 0: out_zero in 8 bits, which a product with a zero point takes away
      // again.
      store_any(a.rows, row * a.k_padded + c0, a.type, v, a.out_scale, a.out_zero);
    }
  }
}

}  // namespace

cudaError_t launch_patches(const PatchesArgs& a, cudaStream_t stream, bool dependent) {
  if (a.patch_h < 1 || a.patch_w < 1 || a.prefix < 0) return cudaErrorInvalidValue;
  if (a.image_type != Type::kF32 && a.image_type != Type::kU8) return cudaErrorInvalidValue;
  if (a.image_type == Type::kU8 && a.channels > kScaledChannels) return cudaErrorInvalidValue;
  if (a.k_padded < int64_t{a.channels} * a.patch_h * a.patch_w) return cudaErrorInvalidValue;
  const int grid_h = a.height / a.patch_h, grid_w = a.width / a.patch_w, tokens = a.prefix + grid_h * grid_w;
  if (a.batch <= 0 || tokens == 0 || a.k_padded == 0) return cudaSuccess;
  const bool vector = a.k_padded % kRun == 0 && aligned16(a.rows);
  const bool whole_runs =
      a.image_type == Type::kF32 && a.patch_w % kRun == 0 && a.width % 4 == 0 && aligned16(a.image);
  const int64_t units = a.k_padded / (vector ? kRun : 1);
  const auto threads = static_cast<unsigned>(std::min<int64_t>(kMaxThreads, (units + 31) / 32 * 32));
  return launch(vector ? patches<kRun> : patches<1>,
                {dim3(blocks_of(a.batch * tokens, 1)), dim3(threads), 0, 1, dependent}, stream, a,
                std::max(grid_w, 1), tokens, whole_runs);
}

}  // namespace vitrail::cuda
