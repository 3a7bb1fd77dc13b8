// SPDX-License-Identifier: Apache-2.0
// From encoded pictures to tensors: what is left undecoded must not show.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>

#include "core/files.h"
#include "encode.h"
#include "preprocess/codec.h"
#include "preprocess/dataset.h"
#include "preprocess/preprocess.h"

namespace vitrail {
namespace {

using testing::bytes_of;
using ::testing::HasSubstr;

std::vector<PreprocessContract> contracts() {
  std::vector<PreprocessContract> list;
  for (ResizeMode mode : {ResizeMode::kShortest, ResizeMode::kSquash, ResizeMode::kLongest, ResizeMode::kShortest}) {
    PreprocessContract c;
    c.height = 40;
    c.width = mode == ResizeMode::kSquash ? 64 : 40;
    c.resize_mode = mode;
    c.interpolation = list.size() == 3 ? Interpolation::kNearest : Interpolation::kBicubic;
    c.crop_pct = 0.6;
    list.push_back(c);
  }
  for (Arithmetic arithmetic : {Arithmetic::kTorch, Arithmetic::kTorchFloat}) {
    list.push_back(list[0]);
    list.back().arithmetic = arithmetic;
  }
  return list;
}

void expect_same(const std::string& file, const std::string& what) {
  const auto image = decode_image(bytes_of(file));
  ASSERT_TRUE(image.ok()) << what << ": " << image.status().message();
  for (const PreprocessContract& c : contracts()) {
    std::vector<float> expected(size_t{3} * c.height * c.width), floats(expected.size());
    std::vector<uint8_t> bytes(expected.size()), expected_bytes(expected.size());
    ASSERT_TRUE(preprocess(*image, c, expected.data()).ok());
    ASSERT_TRUE(preprocess_encoded(bytes_of(file), c, floats.data()).ok()) << what;
    ASSERT_EQ(floats, expected) << what << " " << contract_to_json(c);
    const Status in_bytes = preprocess_encoded(bytes_of(file), c, bytes.data());
    if (c.arithmetic == Arithmetic::kTorchFloat) {
      EXPECT_THAT(in_bytes.message(), HasSubstr("makes no bytes"));
      continue;
    }
    ASSERT_TRUE(in_bytes.ok()) << what;
    ASSERT_TRUE(preprocess_bytes(*image, c, expected_bytes.data()).ok());
    ASSERT_EQ(bytes, expected_bytes) << what << " " << contract_to_json(c);
  }
}

TEST(Encoded, EveryKindOfJpegGivesThePixelsOfTheWholePicture) {
  constexpr int kSizes[][2] = {{200, 90}, {91, 203}, {17, 300}, {300, 17}};
  constexpr int kSampling[][2] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}};
  for (const auto& [width, height] : kSizes)
    for (const auto& [h, v] : kSampling)
      for (const auto& [progressive, color] :
           {std::pair(false, JCS_YCbCr), std::pair(true, JCS_YCbCr), std::pair(false, JCS_YCCK)})
        expect_same(testing::encode_jpeg(testing::test_picture(width, height),
                                         {.color = color, .h_samp = h, .v_samp = v, .progressive = progressive}),
                    std::to_string(width) + "x" + std::to_string(height) + " sampled " + std::to_string(h) + "x" +
                        std::to_string(v));
}

// libjpeg guesses what such a file lacks from the blocks around. Found by fuzzing.
TEST(Encoded, ProgressiveJpegsThatLackScansGiveThePixelsOfTheWholePicture) {
  const std::string file = testing::encode_jpeg(testing::test_picture(200, 90), {.progressive = true});
  std::vector<size_t> scans;
  for (size_t at = file.find("\xff\xda"); at != std::string::npos; at = file.find("\xff\xda", at + 1)) scans.push_back(at);
  ASSERT_GT(scans.size(), 3u);
  for (size_t kept = 1; kept < scans.size(); ++kept)
    expect_same(file.substr(0, scans[kept]) + "\xff\xd9", fmt::format("{} of {} scans", kept, scans.size()));
}

TEST(Encoded, OtherFormatsAreDecodedInWhole) {
  const Image picture = testing::test_picture(120, 80);
  expect_same(testing::encode_png(picture), "png");
  expect_same(testing::encode_webp_lossless(picture), "webp");
  expect_same(testing::encode_bmp(picture), "bmp");
}

TEST(Encoded, PhotographsGiveThePixelsOfTheWholePicture) {
  const auto files = list_images(VTL_SHARED_DATA "/imagenet_samples");
  if (!files.ok()) GTEST_SKIP() << "no photographs: " << files.status().message();
  PreprocessContract c;
  c.crop_pct = 0.875;
  ThreadPool pool(2);
  const size_t stride = size_t{3} * c.height * c.width;
  std::vector<float> all(files->size() * stride), expected(stride);
  ASSERT_TRUE(preprocess_files(*files, c, pool, all.data()).ok());
  for (size_t i = 0; i < files->size(); ++i) {
    const auto image = load_image((*files)[i]);
    ASSERT_TRUE(image.ok()) << image.status().message();
    ASSERT_TRUE(preprocess(*image, c, expected.data()).ok());
    ASSERT_TRUE(std::equal(expected.begin(), expected.end(), all.begin() + static_cast<std::ptrdiff_t>(i * stride)))
        << (*files)[i];
  }
}

TEST(Encoded, LittleOfTheJpegIsDecoded) {
  const std::string file = testing::encode_jpeg(testing::test_picture(640, 480));
  const auto part = codec::decode(bytes_of(file), [](int width, int height) -> Result<codec::Wish> {
    EXPECT_EQ(width, 640);
    EXPECT_EQ(height, 480);
    return codec::Wish{{200, 300, 100, 50}};
  });
  ASSERT_TRUE(part.ok()) << part.status().message();
  EXPECT_LE(part->pixels.width, 100 + 4 + 4 + 15);
  EXPECT_EQ(part->pixels.height, 50);
  EXPECT_LE(part->place.x, 200);
  EXPECT_EQ(part->place.y, 300);
  EXPECT_EQ(part->place.width, 640);
}

TEST(Encoded, ACutJpegIsAnErrorEvenWhereItsEndIsNotWanted) {
  PreprocessContract c;
  c.height = c.width = 16;
  c.crop_pct = 0.3;
  std::vector<float> out(size_t{3} * 16 * 16);
  for (bool progressive : {false, true}) {
    const std::string file = testing::encode_jpeg(testing::test_picture(90, 160), {.progressive = progressive});
    ASSERT_TRUE(preprocess_encoded(bytes_of(file), c, out.data()).ok());
    for (size_t size = 0; size < file.size() - 2; size += 53) {
      const Status cut = preprocess_encoded(bytes_of(file.substr(0, size)), c, out.data());
      ASSERT_EQ(cut.code(), Code::kBadInput) << size << " of " << file.size() << " bytes";
    }
  }
}

TEST(Encoded, ScaledDecodingIsCloseAndSkipsMostOfTheWork) {
  Image smooth{800, 600, {}};
  for (int y = 0; y < 600; ++y)
    for (int x = 0; x < 800; ++x)
      for (int v : {x / 4, y / 3, 255 - (x + y) / 6}) smooth.pixels.push_back(static_cast<uint8_t>(v));
  const std::string file = testing::encode_jpeg(smooth);
  PreprocessContract c;
  c.height = c.width = 96;
  std::vector<uint8_t> exact(size_t{3} * 96 * 96), scaled(exact.size());
  ASSERT_TRUE(preprocess_encoded(bytes_of(file), c, exact.data()).ok());
  c.decoding = Decoding::kScaled;
  ASSERT_TRUE(preprocess_encoded(bytes_of(file), c, scaled.data()).ok());
  EXPECT_NE(exact, scaled);
  double error = 0;
  for (size_t i = 0; i < exact.size(); ++i) error += std::abs(exact[i] - scaled[i]);
  EXPECT_LT(error / static_cast<double>(exact.size()), 2.0);
  const auto quarter =
      codec::decode(bytes_of(file), [](int, int) -> Result<codec::Wish> { return codec::Wish{{}, 4}; });
  ASSERT_TRUE(quarter.ok());
  EXPECT_EQ(quarter->pixels.width, 200);
  EXPECT_EQ(quarter->place.height, 150);
}

TEST(Encoded, TheFirstBadFileOfABatchIsNamed) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(::testing::TempDir()) / "encoded_batch";
  fs::create_directories(folder);
  std::vector<std::string> paths;
  for (int i = 0; i < 8; ++i) {
    paths.push_back((folder / (std::to_string(i) + ".png")).string());
    testing::write_file(paths.back(), testing::encode_png(testing::test_picture(20, 20)));
  }
  PreprocessContract c;
  c.height = c.width = 8;
  std::vector<uint8_t> out(paths.size() * 3 * 64);
  ThreadPool pool(2);
  EXPECT_TRUE(preprocess_files(paths, c, pool, out.data()).ok());
  testing::write_file(paths[5], "no picture");
  const Status bad = preprocess_files(paths, c, pool, out.data());
  EXPECT_EQ(bad.code(), Code::kBadInput);
  EXPECT_THAT(bad.message(), HasSubstr("5.png"));
  paths[5] = (folder / "missing.png").string();
  EXPECT_EQ(preprocess_files(paths, c, pool, out.data()).code(), Code::kIo);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace vitrail
