// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "cpu/kernel_testing.h"

namespace vitrail::cpu {
namespace {

template <class T>
void check_permutation(const std::vector<int64_t>& shape, const std::vector<int>& perm) {
  const int rank = static_cast<int>(shape.size());
  int64_t count = 1;
  for (const int64_t n : shape) count *= n;
  std::vector<T> x(static_cast<size_t>(count));
  std::iota(x.begin(), x.end(), T{1});
  std::vector<T> out(x.size(), T{});
  ThreadPool pool(2);
  permute(pool, x.data(), rank, shape.data(), perm.data(), sizeof(T), out.data());
  for (int64_t o = 0; o < count; ++o) {
    int64_t rest = o;
    std::vector<int64_t> index(shape.size());
    for (int i = rank - 1; i >= 0; --i) {
      const int axis = perm[static_cast<size_t>(i)];
      index[static_cast<size_t>(axis)] = rest % shape[static_cast<size_t>(axis)];
      rest /= shape[static_cast<size_t>(axis)];
    }
    int64_t from = 0;
    for (int i = 0; i < rank; ++i)
      from = from * shape[static_cast<size_t>(i)] + index[static_cast<size_t>(i)];
    ASSERT_EQ(out[static_cast<size_t>(o)], x[static_cast<size_t>(from)]) << "at " << o;
  }
}

TEST(Permute, EveryPermutationOfEveryRank) {
  const std::vector<int64_t> extents = {3, 2, 5, 1, 4, 2};
  for (size_t rank = 1; rank <= 6; ++rank) {
    std::vector<int> perm(rank);
    std::iota(perm.begin(), perm.end(), 0);
    do {
      check_permutation<uint32_t>({extents.begin(), extents.begin() + static_cast<int64_t>(rank)}, perm);
    } while (std::next_permutation(perm.begin(), perm.end()));
  }
}

TEST(Permute, LargerThanATileAndEveryElementSize) {
  check_permutation<uint32_t>({70, 131}, {1, 0});
  check_permutation<uint8_t>({2, 33, 65}, {0, 2, 1});
  check_permutation<uint16_t>({33, 4, 65}, {2, 1, 0});
  check_permutation<uint64_t>({2, 197, 12, 8}, {0, 2, 1, 3});
}

TEST(Permute, ScalarsAndEmptyArrays) {
  check_permutation<uint32_t>({}, {});
  check_permutation<uint32_t>({1, 1}, {1, 0});
  check_permutation<uint32_t>({3, 0, 2}, {2, 0, 1});
}

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
