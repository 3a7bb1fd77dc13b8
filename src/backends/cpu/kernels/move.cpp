// SPDX-License-Identifier: Apache-2.0
// Kernels that only move data; the same for every instruction set.
#include <cstring>

#include "backends/cpu/kernels/kernels.h"

namespace vitrail::cpu {
void gather_patches(ThreadPool& pool, const PatchArgs& a) {
  const int64_t grid_h = (a.height - a.kh) / a.sh + 1;
  const int64_t grid_w = (a.width - a.kw) / a.sw + 1;
  const int64_t patch = a.channels * a.kh * a.kw;
  // One row of patches reads kh full lines of every channel, each once.
  pool.parallel_for(a.batch * grid_h, [&](int64_t task, int) {
    const int64_t image = task / grid_h;
    const int64_t gy = task % grid_h;
    float* rows = a.out + task * grid_w * patch;
    for (int64_t c = 0; c < a.channels; ++c) {
      for (int64_t y = 0; y < a.kh; ++y) {
        const float* line = a.x + ((image * a.channels + c) * a.height + gy * a.sh + y) * a.width;
        float* to = rows + (c * a.kh + y) * a.kw;
        for (int64_t gx = 0; gx < grid_w; ++gx) {
          std::memcpy(to + gx * patch, line + gx * a.sw, sizeof(float) * static_cast<size_t>(a.kw));
        }
      }
    }
  });
}

}  // namespace vitrail::cpu
