// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

// jpeglib.h wants <cstdio> before it.
#include <cstdio>

#include "encode.h"
#include "preprocess/codec.h"

namespace vitrail {
namespace {

using testing::bytes_of;
using ::testing::HasSubstr;

struct Format {
  const char* name;
  std::string file;
};

std::vector<Format> formats_of(const Image& picture) {
  return {{"jpeg", testing::encode_jpeg(picture)},
          {"progressive jpeg", testing::encode_jpeg(picture, {.progressive = true})},
          {"cmyk jpeg", testing::encode_jpeg(picture, {.color = JCS_YCCK})},
          {"png", testing::encode_png(picture)},
          {"webp", testing::encode_webp_lossless(picture)},
          {"ppm", testing::encode_ppm(picture)},
          {"bmp", testing::encode_bmp(picture)}};
}

void expect_bad(const std::string& file, const std::string& message, const std::string& what) {
  const auto image = decode_image(bytes_of(file));
  ASSERT_FALSE(image.ok()) << what;
  EXPECT_EQ(image.status().code(), Code::kBadInput) << what;
  EXPECT_THAT(image.status().message(), HasSubstr(message)) << what;
}

TEST(Decode, LosslessFormatsGiveThePixelsBack) {
  for (int width : {1, 2, 3, 4, 33}) {  // rows of every padding
    const Image picture = testing::test_picture(width, 7);
    for (const auto& [name, file] : formats_of(picture)) {
      const auto decoded = decode_image(bytes_of(file));
      ASSERT_TRUE(decoded.ok()) << name << ": " << decoded.status().message();
      EXPECT_EQ(decoded->width, width) << name;
      EXPECT_EQ(decoded->height, 7) << name;
      const bool lossless = std::string(name).find("jpeg") == std::string::npos;
      EXPECT_TRUE(!lossless || decoded->pixels == picture.pixels) << name;
    }
  }
}

TEST(Decode, JpegIsCloseToThePicture) {
  Image picture{64, 48, {}};
  for (int y = 0; y < 48; ++y)
    for (int x = 0; x < 64; ++x)
      for (int v : {x * 3, y * 4, 255 - x * 2}) picture.pixels.push_back(static_cast<uint8_t>(v));
  for (bool progressive : {false, true}) {
    const auto decoded = decode_image(bytes_of(testing::encode_jpeg(picture, {.progressive = progressive})));
    ASSERT_TRUE(decoded.ok()) << decoded.status().message();
    double error = 0;
    for (size_t i = 0; i < picture.pixels.size(); ++i)
      error += std::abs(decoded->pixels[i] - picture.pixels[i]);
    EXPECT_LT(error / static_cast<double>(picture.pixels.size()), 4.0);
  }
}

TEST(Decode, NetpbmHeadersHaveCommentsAndOtherMaxima) {
  const auto comment = decode_image(bytes_of("P5\n# a comment\n2 #w\n1\n255\n\x10\x20"));
  ASSERT_TRUE(comment.ok()) << comment.status().message();
  EXPECT_EQ(comment->pixels, (std::vector<uint8_t>{16, 16, 16, 32, 32, 32}));
  const auto scaled = decode_image(bytes_of("P6 1 2 100 " + std::string{0, 50, 100, 1, 2, 120}));
  ASSERT_TRUE(scaled.ok()) << scaled.status().message();
  EXPECT_EQ(scaled->pixels, (std::vector<uint8_t>{0, 128, 255, 3, 5, 255}));
  const auto wide = decode_image(bytes_of("P5 2 1 65535 " + std::string("\x00\x64\x01\x00", 4)));
  ASSERT_TRUE(wide.ok()) << wide.status().message();
  EXPECT_EQ(wide->pixels, (std::vector<uint8_t>{100, 100, 100, 255, 255, 255}));  // clipped, as Pillow does
  for (const char* header :
       {"P6", "P6 2", "P6 2 2", "P6 2 2 0 ", "P6 2 2 70000 ", "P6 -2 2 255 ", "P6 2 2 255"})
    EXPECT_FALSE(decode_image(bytes_of(header)).ok()) << header;
}

TEST(Decode, EveryCutIsAnError) {
  for (const auto& [name, file] : formats_of(testing::test_picture(40, 30))) {
    for (size_t size = 0; size < file.size(); size += size < 64 ? 1 : 37) {
      const auto image = decode_image(bytes_of(file.substr(0, size)));
      ASSERT_FALSE(image.ok()) << name << " cut to " << size << " of " << file.size() << " bytes";
      EXPECT_EQ(image.status().code(), Code::kBadInput) << name;
      EXPECT_FALSE(image.status().message().empty()) << name;
    }
  }
}

TEST(Decode, CorruptFilesNeverCrash) {
  std::mt19937 random(7);
  int decoded = 0, refused = 0;
  for (const auto& [name, file] : formats_of(testing::test_picture(40, 30))) {
    for (int i = 0; i < 400; ++i) {
      std::string damaged = file;
      for (int k = 0; k < 1 + i % 4; ++k) damaged[random() % damaged.size()] = static_cast<char>(random());
      const auto image = decode_image(bytes_of(damaged));
      ++(image.ok() ? decoded : refused);
      if (!image.ok()) continue;
      EXPECT_EQ(image->pixels.size(), size_t{3} * image->width * image->height) << name;
    }
  }
  EXPECT_GT(decoded, 0);
  EXPECT_GT(refused, 0);
}

TEST(Decode, WhatIsNoPictureIsNamed) {
  expect_bad("", "empty", "empty");
  expect_bad("hello, world", "starts with 68 65 6c 6c", "text");
  expect_bad("GIF89a....", "convert it", "gif");
  expect_bad("\xff\xd8\xff", "broken JPEG", "start of a JPEG");
  for (const auto& [name, file] : formats_of(testing::test_picture(1, 1))) expect_bad(file, "1x1", name);
}

TEST(Decode, DecompressionBombsAreRefusedBeforeAllocating) {
  expect_bad("P6 100000 100000 255\n", "100000x100000", "ppm");
  expect_bad("P6 10000 10000 255\n", "decompression bomb", "ppm that claims more than it holds");
  std::string png = testing::encode_png(testing::test_picture(8, 8));
  png[16] = 0, png[17] = 1, png[20] = 0,
  png[21] = 1;  // 65544 a side; the checksum is wrong too, which is also fine
  EXPECT_FALSE(decode_image(bytes_of(png)).ok());
  std::string jpeg = testing::encode_jpeg(testing::test_picture(8, 8));
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, std::string("\x27\x10\x27\x10"));  // 10000 x 10000
  expect_bad(jpeg, "claims 10000x10000 pixels but the file has only", "jpeg");
  jpeg.replace(frame + 5, 4, std::string("\xf0\x00\xf0\x00", 4));
  expect_bad(jpeg, "61440x61440", "larger jpeg");
}

TEST(Decode, StrayBytesInAJpegAreTolerated) {
  std::string jpeg = testing::encode_jpeg(testing::test_picture(40, 30));
  const auto clean = decode_image(bytes_of(jpeg));
  jpeg.insert(jpeg.size() - 2, "stray");
  const auto stray = decode_image(bytes_of(jpeg + "trailing"));
  ASSERT_TRUE(clean.ok() && stray.ok()) << stray.status().message();
  EXPECT_EQ(clean->pixels, stray->pixels);
}

// A TIFF block with one orientation entry.
std::string exif(bool little, char value) {
  std::string block = little ? std::string("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18)
                             : std::string("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 19);
  block.push_back(value);
  block.append(little ? 7 : 6, '\0');
  return block;
}

TEST(Decode, OrientationOfBothByteOrders) {
  for (int value = 1; value <= 8; ++value)
    for (bool little : {false, true})
      EXPECT_EQ(codec::exif_orientation(bytes_of(exif(little, static_cast<char>(value)))), value);
  EXPECT_EQ(codec::exif_orientation(bytes_of(exif(true, 9))), 1);
  const std::string block = exif(true, 6);
  for (size_t size = 0; size < 22; ++size)
    EXPECT_EQ(codec::exif_orientation(bytes_of(block.substr(0, size))), 1);
  std::string far = block;
  far[7] = '\x7f';
  EXPECT_EQ(codec::exif_orientation(bytes_of(far)), 1);
}

TEST(Decode, OrientationTurnsThePicture) {
  const std::string jpeg = testing::encode_jpeg(testing::test_picture(32, 16));
  const auto upright = decode_image(bytes_of(jpeg));
  std::string block = "\xff\xe1";
  block += std::string("\0\x22", 2) + std::string("Exif\0\0", 6) + exif(true, 6);
  const auto turned = decode_image(bytes_of(jpeg.substr(0, 2) + block + jpeg.substr(2)));
  ASSERT_TRUE(upright.ok() && turned.ok()) << turned.status().message();
  ASSERT_EQ(turned->width, 16);
  ASSERT_EQ(turned->height, 32);
  // 6: the camera's right is up, so the first stored row is the last column.
  for (int x = 0; x < 32; ++x)
    for (int c = 0; c < 3; ++c)
      ASSERT_EQ(turned->pixels[(size_t(x) * 16 + 15) * 3 + c], upright->pixels[size_t(x) * 3 + c]) << x;
}

TEST(Decode, LoadNamesTheFile) {
  const std::string path = ::testing::TempDir() + "cut.jpg";
  testing::write_file(path, testing::encode_jpeg(testing::test_picture(40, 30)).substr(0, 500));
  const auto cut = load_image(path);
  EXPECT_EQ(cut.status().code(), Code::kBadInput);
  EXPECT_THAT(cut.status().message(), HasSubstr(path + ": broken JPEG"));
  const auto missing = load_image("/nowhere/x.jpg");
  EXPECT_EQ(missing.status().code(), Code::kIo);
  EXPECT_THAT(missing.status().message(), HasSubstr("/nowhere/x.jpg"));
  EXPECT_FALSE(load_image(::testing::TempDir()).ok());
}

TEST(Decode, ALowerLimitHoldsForEveryFormat) {
  for (const Format& format : formats_of(testing::test_picture(40, 30))) {
    EXPECT_TRUE(codec::decode(bytes_of(format.file), {}, {1200, "--option"}).ok()) << format.name;
    const Status refused = codec::decode(bytes_of(format.file), {}, {1199, "--option"}).status();
    EXPECT_EQ(refused.code(), Code::kBadInput) << format.name;
    EXPECT_THAT(refused.message(), HasSubstr("40x30 pixels, more than the 1199 allowed here by --option")) << format.name;
  }
}

}  // namespace
}  // namespace vitrail
