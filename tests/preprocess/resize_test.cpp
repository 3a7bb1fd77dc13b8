// SPDX-License-Identifier: Apache-2.0
#include "preprocess/resize.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "encode.h"
#include "preprocess/filter.h"

namespace vitrail {
namespace {

constexpr Interpolation kAll[] = {Interpolation::kNearest, {Interpolation::kBilinear}, Interpolation::kBicubic,
                                  Interpolation::kLanczos, Interpolation::kBox, Interpolation::kHamming};

Image grey(int width, int height, const std::vector<uint8_t>& values) {
  Image image{width, height, {}};
  for (uint8_t v : values) image.pixels.insert(image.pixels.end(), 3, v);
  return image;
}

TEST(Resize, HandMadeCases) {
  const Image pair = grey(2, 1, {10, 21});
  // One output over two sources: both weigh a half; 15.5 rounds up.
  EXPECT_EQ(resize(pair, 1, 1, {Interpolation::kBilinear})->pixels, grey(1, 1, {16}).pixels);
  EXPECT_EQ(resize(pair, 1, 1, {Interpolation::kNearest})->pixels, grey(1, 1, {21}).pixels);
  EXPECT_EQ(resize(pair, 4, 2, {Interpolation::kNearest})->pixels,
            grey(4, 2, {10, 10, 21, 21, 10, 10, 21, 21}).pixels);
  // Centres at 0.25, 0.75, 1.25, 1.75 of sources at 0.5 and 1.5.
  EXPECT_EQ(resize(grey(2, 1, {0, 100}), 4, 1, {Interpolation::kBilinear})->pixels,
            grey(4, 1, {0, 25, 75, 100}).pixels);
  // Negative lobes overshoot an edge and are clipped.
  const auto edge = resize(grey(6, 1, {0, 0, 0, 255, 255, 255}), 12, 1, {Interpolation::kBicubic});
  EXPECT_EQ(edge->pixels.front(), 0);
  EXPECT_EQ(edge->pixels.back(), 255);
}

TEST(Resize, WeightsOfAWindowSumToOne) {
  for (Interpolation interpolation :
       {Interpolation::kBilinear, Interpolation::kBicubic, Interpolation::kLanczos})
    for (int target : {1, 7, 50, 99, 100, 333}) {
      const Taps taps = make_taps(interpolation, 100, target, 0, target);
      EXPECT_EQ(taps.begin, 0);
      EXPECT_EQ(taps.end, 100);
      for (const auto& window : taps.windows) {
        int64_t sum = 0;
        for (int i = 0; i < window.count; ++i) sum += taps.weights[window.weights + i];
        EXPECT_NEAR(static_cast<double>(sum), 1 << kWeightBits, window.count) << target;
      }
    }
}

TEST(Resize, SameSizeAndConstantPicturesStayAsTheyAre) {
  const Image picture = testing::test_picture(13, 9);
  const Image constant = grey(5, 4, std::vector<uint8_t>(20, 77));
  for (Interpolation interpolation : kAll) {
    EXPECT_EQ(resize(picture, 13, 9, {interpolation})->pixels, picture.pixels);
    EXPECT_EQ(resize(constant, 31, 2, {interpolation})->pixels, std::vector<uint8_t>(31 * 2 * 3, 77));
  }
}

TEST(Resize, ARegionIsTheCropOfTheWhole) {
  const Image picture = testing::test_picture(60, 45);
  const int sizes[][2] = {{60, 45}, {60, 20}, {25, 45}, {24, 24}, {100, 20}, {90, 130}};
  for (Interpolation interpolation : kAll)
    for (const auto& [width, height] : sizes) {
      const Region region{width / 3, height / 4, width / 2, height / 2};
      const auto whole = resize(picture, width, height, {interpolation});
      const auto part = resize_region(picture, {0, 0, 60, 45}, width, height, {interpolation}, region);
      ASSERT_TRUE(whole.ok() && part.ok()) << part.status().message();
      EXPECT_EQ(part->pixels, crop(*whole, region)->pixels) << width << "x" << height;
    }
}

TEST(Resize, ThinPicturesCostNoMoreThanTheRegion) {
  // In full this is 16 million by 16.
  const auto part = resize_region(testing::test_picture(1000, 1), {0, 0, 1000, 1}, 16000000, 16, {Interpolation::kBicubic},
                                  {8000000, 0, 16, 16});
  ASSERT_TRUE(part.ok()) << part.status().message();
  EXPECT_EQ(part->pixels.size(), 16u * 16 * 3);
}

TEST(Resize, ImpossibleRequestsAreErrors) {
  const Image picture = testing::test_picture(8, 8);
  EXPECT_EQ(resize(picture, 0, 4, {Interpolation::kBicubic}).status().code(), Code::kUsage);
  EXPECT_EQ(resize(picture, 4, -1, {Interpolation::kBicubic}).status().code(), Code::kUsage);
  EXPECT_EQ(resize(picture, 1 << 24, 1 << 24, {Interpolation::kBicubic}).status().code(), Code::kUsage);
  EXPECT_EQ(resize(Image{8, 8, std::vector<uint8_t>(8)}, 4, 4, {Interpolation::kBicubic}).status().code(),
            Code::kUsage);
  EXPECT_EQ(crop(picture, {4, 0, 5, 1}).status().code(), Code::kUsage);
  EXPECT_EQ(crop(picture, {-1, 0, 5, 1}).status().code(), Code::kUsage);
}

}  // namespace
}  // namespace vitrail
