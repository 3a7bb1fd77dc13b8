// SPDX-License-Identifier: Apache-2.0
#include "preprocess/preprocess.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <limits>

#include "encode.h"
#include "preprocess/resize.h"

namespace vitrail {
namespace {

PreprocessContract plain(int height, int width, ResizeMode mode) {
  PreprocessContract c;
  c.height = height;
  c.width = width;
  c.resize_mode = mode;
  c.mean = {0, 0, 0};
  c.std = {1, 1, 1};
  return c;
}

std::vector<float> run(const Image& image, const PreprocessContract& c) {
  std::vector<float> out(size_t{3} * c.height * c.width, std::numeric_limits<float>::quiet_NaN());
  const Status status = preprocess(image, c, out.data());
  EXPECT_TRUE(status.ok()) << status.message();
  return out;
}

TEST(Preprocess, ScalesNormalisesAndSplitsTheChannels) {
  const Image image{2, 1, {0, 51, 102, 153, 204, 255}};
  PreprocessContract c = plain(1, 2, ResizeMode::kSquash);
  c.mean = {0.5f, 0.2f, 0.4f};
  c.std = {0.5f, 0.25f, 2.0f};
  const std::vector<float> expected{-1.0f, (0.6f - 0.5f) / 0.5f, 0.0f, (0.8f - 0.2f) / 0.25f,
                                    0.0f,  (1.0f - 0.4f) / 2.0f};
  auto out = run(image, c);
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(out[i], expected[i], 1e-6) << i;
  c.color = "BGR";  // mean and deviation stay with the output's channels
  out = run(image, c);
  EXPECT_NEAR(out[0], (0.4f - 0.5f) / 0.5f, 1e-6);
  EXPECT_NEAR(out[5], (0.6f - 0.4f) / 2.0f, 1e-6);
}

TEST(Preprocess, NormalisedBytesAreTheFloatsBitForBit) {
  Image image{31, 17, std::vector<uint8_t>(size_t{31} * 17 * 3)};
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * 37 % 251);
  for (ResizeMode mode : {ResizeMode::kSquash, ResizeMode::kShortest, ResizeMode::kLongest})
    for (const char* color : {"RGB", "BGR"}) {
      PreprocessContract c;
      c.height = 12;
      c.width = 20;
      c.resize_mode = mode;
      c.color = color;
      std::vector<uint8_t> bytes(size_t{3} * 12 * 20);
      ASSERT_TRUE(preprocess_bytes(image, c, bytes.data()).ok());
      std::vector<float> floats(bytes.size());
      normalise(bytes.data(), c, floats.data());
      EXPECT_EQ(floats, run(image, c)) << color;
    }
}

TEST(Preprocess, ShortestCropsTheMiddle) {
  Image image{7, 2, {}};  // columns 0 to 6
  for (int i = 0; i < 14; ++i) image.pixels.insert(image.pixels.end(), 3, static_cast<uint8_t>(i % 7));
  // The shorter side fits already; (7 - 2) / 2 = 2.5 goes to the even 2.
  const auto out = run(image, plain(2, 2, ResizeMode::kShortest));
  for (int i = 0; i < 12; ++i) EXPECT_FLOAT_EQ(out[i] * 255, i % 2 == 0 ? 2.0f : 3.0f) << i;
}

TEST(Preprocess, LongestPadsWithTheMean) {
  Image image{4, 2, std::vector<uint8_t>(24, 255)};
  PreprocessContract c = plain(5, 4, ResizeMode::kLongest);
  c.mean = {0.2f, 0.4f, 0.6f};  // 51, 102, 153: exact in 8 bits
  const auto out = run(image, c);
  for (int channel = 0; channel < 3; ++channel)
    for (int y = 0; y < 5; ++y)
      for (int x = 0; x < 4; ++x) {
        const float inside = 1.0f - c.mean[channel];
        EXPECT_NEAR(out[(channel * 5 + y) * 4 + x], y == 1 || y == 2 ? inside : 0.0f, 1e-6) << y << " " << x;
      }
}

TEST(Preprocess, CropPctTakesTheMiddleOfALargerPicture) {
  const Image image = testing::test_picture(50, 40);
  PreprocessContract c = plain(7, 14, ResizeMode::kSquash);
  c.crop_pct = 0.7;  // 20 x 10, then 14 x 7 from (3, 1.5 -> 2)
  const auto resized = resize(image, 20, 10, {Interpolation::kBicubic});
  const auto out = run(image, c);
  for (int y = 0; y < 7; ++y)
    for (int x = 0; x < 14; ++x)
      EXPECT_FLOAT_EQ(out[y * 14 + x] * 255, resized->pixels[((y + 2) * 20 + x + 3) * 3]) << y << " " << x;
}

TEST(Preprocess, ExtremeShapesWorkOrAreRefused) {
  for (ResizeMode mode : {ResizeMode::kSquash, ResizeMode::kShortest, ResizeMode::kLongest})
    for (const auto& [width, height] : {std::pair(1, 3000), std::pair(3000, 1), std::pair(2, 1)})
      for (float v : run(testing::test_picture(width, height), plain(16, 16, mode)))
        ASSERT_TRUE(v >= 0 && v <= 1);
  std::vector<float> out(3 * 1024);
  PreprocessContract c = plain(1024, 1, ResizeMode::kShortest);
  c.width = 0;
  EXPECT_FALSE(preprocess(testing::test_picture(4, 4), c, out.data()).ok());
  EXPECT_FALSE(preprocess(Image{}, plain(1, 1, ResizeMode::kSquash), out.data()).ok());
  // A million to one, a thousand times larger.
  const Image thread{1000000, 1, std::vector<uint8_t>(3000000)};
  const Status refused = preprocess(thread, plain(32, 32, ResizeMode::kShortest), out.data());
  EXPECT_EQ(refused.code(), Code::kUsage);
  EXPECT_NE(refused.message().find("crop it first"), std::string::npos) << refused.message();
}

}  // namespace
}  // namespace vitrail
