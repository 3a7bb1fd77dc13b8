// SPDX-License-Identifier: Apache-2.0
#include "preprocess/resample.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <random>

#include "encode.h"

namespace vitrail::resample {
namespace {

class Resample : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    for (const Kernels* k : available())
      if (k->isa == GetParam()) kernels_ = k;
    if (!kernels_) GTEST_SKIP() << "this processor has no " << GetParam();
  }
  const Kernels* kernels_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(, Resample, ::testing::Values("scalar", "avx2", "avx512"),
                         [](const auto& info) { return std::string(info.param); });

// Memory that ends where the picture does, so that the address sanitizer sees a byte too many.
std::vector<uint8_t> noise(size_t bytes) {
  std::mt19937 random(static_cast<unsigned>(bytes));
  std::vector<uint8_t> out(bytes);
  for (uint8_t& b : out) b = static_cast<uint8_t>(random() % 3 == 0 ? 255 * (random() & 1) : random());
  return out;
}

constexpr Interpolation kFilters[] = {Interpolation::kBilinear, Interpolation::kBicubic, Interpolation::kLanczos,
                                      Interpolation::kBox, Interpolation::kHamming};

TEST_P(Resample, LinesAreTheScalarOnesToTheBit) {
  const Resampler scalar{kScalar}, vectors{*kernels_};
  constexpr int kSizes[][2] = {{1, 3}, {2, 1}, {7, 7}, {31, 10}, {100, 224}, {500, 301}, {3000, 5}};
  for (const auto& [source, target] : kSizes)
    for (Interpolation filter : kFilters)
      for (Arithmetic arithmetic : {Arithmetic::kPillow, Arithmetic::kTorch})
        for (int rows : {1, 2, 3, 4, 5, 9}) {
          const Taps taps = make_taps(filter, source, target, 0, target, arithmetic);
          ASSERT_FALSE(taps.pairs.empty());
          const size_t stride = size_t{3} * source;
          const auto in = noise(stride * rows);
          std::vector<uint8_t> expected(size_t{3} * target * rows), out(expected.size(), 1);
          scalar.horizontal(in, stride, rows, taps, expected.data());
          vectors.horizontal(in, stride, rows, taps, out.data());
          ASSERT_EQ(out, expected) << source << " to " << target << ", " << rows << " rows";
        }
}

TEST_P(Resample, ColumnsAreTheScalarOnesToTheBit) {
  const Resampler scalar{kScalar}, vectors{*kernels_};
  constexpr int kSizes[][2] = {{1, 3}, {2, 1}, {31, 10}, {60, 224}, {500, 11}};
  for (const auto& [source, target] : kSizes)
    for (Interpolation filter : kFilters)
      for (size_t bytes : {size_t{3}, size_t{31}, size_t{32}, size_t{63}, size_t{64}, size_t{65}, size_t{299}}) {
        const Taps taps = make_taps(filter, source, target, 0, target);
        const auto in = noise(bytes * source);
        std::vector<uint8_t> expected(bytes), out(bytes, 1);
        for (const Taps::Window& window : taps.windows) {
          const uint8_t* first = in.data() + bytes * window.first;
          scalar.vertical(first, bytes, taps, window, bytes, expected.data());
          vectors.vertical(first, bytes, taps, window, bytes, out.data());
          ASSERT_EQ(out, expected) << source << " to " << target << ", " << bytes << " bytes";
        }
      }
}

TEST(ResampleKernels, TheBestIsUsedAndTheWorstIsScalar) {
  EXPECT_EQ(available().front(), &kScalar);
  EXPECT_EQ(&Resampler().kernels, available().back());
  EXPECT_EQ(available().size() > 1, __builtin_cpu_supports("avx2") != 0);
}

}  // namespace
}  // namespace vitrail::resample
