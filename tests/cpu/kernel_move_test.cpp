// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "cpu/kernel_testing.h"

namespace vitrail::cpu {
namespace {

TEST(GatherPatches, RowsHoldChannelsThenLines) {
  ThreadPool pool(2);
  for (const auto& [kernel, stride] : {std::pair<int64_t, int64_t>{4, 4}, {3, 2}, {1, 3}}) {
    const int64_t batch = 2, channels = 3, height = 13, width = 17;
    const std::vector<float> x = random_floats(static_cast<size_t>(batch * channels * height * width), 1);
    const int64_t gh = (height - kernel) / stride + 1;
    const int64_t gw = (width - kernel) / stride + 1;
    std::vector<float> out(static_cast<size_t>(batch * gh * gw * channels * kernel * kernel), kNan);
    gather_patches(pool,
                   {x.data(), batch, channels, height, width, kernel, kernel, stride, stride, out.data()});
    size_t at = 0;
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t gy = 0; gy < gh; ++gy)
        for (int64_t gx = 0; gx < gw; ++gx)
          for (int64_t c = 0; c < channels; ++c)
            for (int64_t ky = 0; ky < kernel; ++ky)
              for (int64_t kx = 0; kx < kernel; ++kx)
                ASSERT_EQ(out[at++],
                          x[static_cast<size_t>(((b * channels + c) * height + gy * stride + ky) * width +
                                                gx * stride + kx)]);
  }
}

}  // namespace
}  // namespace vitrail::cpu
