// SPDX-License-Identifier: Apache-2.0
// Pixels against Pillow's and tensors against timm's, which tests/preprocess/*_expected.py write.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/npy.h"
#include "../tools/python.h"
#include "encode.h"
#include "preprocess/float_resize.h"
#include "preprocess/preprocess.h"
#include "preprocess/resize.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// Runs a script with a fresh folder and reads its manifest; on a machine without the packages, the reason to
// skip.
class Expected {
 public:
  Expected(const std::string& script, const std::string& packages) {
    if (std::system((test_python() + " -c 'import " + packages + "' 2>/dev/null").c_str()) != 0) {
      skip = test_python() + " cannot import " + packages + " (set VTL_PYTHON)";
      return;
    }
    if (!fs::exists(VTL_SHARED_DATA "/imagenet_samples")) {
      skip = "no pictures in " VTL_SHARED_DATA;
      return;
    }
    std::string folder = ::testing::TempDir() + "expectedXXXXXX";
    if (mkdtemp(folder.data()) == nullptr) return;
    folder_ = folder;
    write_extra();
    const std::string command =
        test_python() + " " VTL_SOURCE_DIR "/tests/preprocess/" + script + " " + folder + " " VTL_SHARED_DATA;
    if (std::system(command.c_str()) == 0) manifest = Json::parse(std::ifstream(folder_ / "manifest.json"));
  }
  ~Expected() {
    if (!folder_.empty()) fs::remove_all(folder_);
  }

  std::string skip;
  Json manifest;

 private:
  // JPEG kinds that Pillow reads but cannot write.
  void write_extra() const {
    fs::create_directories(folder_ / "extra");
    const Image picture = testing::test_picture(61, 47);
    auto put = [&](const char* name, const testing::JpegOptions& options) {
      testing::write_file((folder_ / "extra" / name).string(), testing::encode_jpeg(picture, options));
    };
    put("ycck.jpg", {.color = JCS_YCCK});
    put("cmyk.jpg", {.color = JCS_CMYK, .h_samp = 1, .v_samp = 1});
    put("rgb.jpg", {.color = JCS_RGB, .h_samp = 1, .v_samp = 1});
    put("440.jpg", {.h_samp = 1, .v_samp = 2});
    put("411.jpg", {.h_samp = 4, .v_samp = 1});
    put("progressive_440.jpg", {.h_samp = 1, .v_samp = 2, .progressive = true});
  }

  fs::path folder_;
};

#define VTL_EXPECTED(name, script, packages)         \
  const Expected name(script, packages);             \
  if (!name.skip.empty()) GTEST_SKIP() << name.skip; \
  ASSERT_FALSE(name.manifest.is_null()) << script " failed"

void expect_pixels(const Image& image, const std::string& npy, const std::string& what) {
  const auto expected = load_npy(npy);
  ASSERT_TRUE(expected.ok()) << expected.status().message();
  ASSERT_EQ(expected->shape(), (Shape{image.height, image.width, 3})) << what;
  const auto values = expected->as<uint8_t>();
  int different = 0, largest = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    different += values[i] != image.pixels[i];
    largest = std::max(largest, std::abs(values[i] - image.pixels[i]));
  }
  EXPECT_EQ(different, 0) << what << ": of " << values.size() << " values, by at most " << largest;
}

TEST(Pillow, DecodesAndResizesToTheSameBits) {
  VTL_EXPECTED(expected, "pillow_expected.py", "PIL, numpy");
  EXPECT_GT(expected.manifest["decode"].size(), 250u);
  EXPECT_GT(expected.manifest["resize"].size(), 500u);
  for (const Json& c : expected.manifest["decode"]) {
    const std::string path = c["path"];
    const auto image = load_image(path);
    ASSERT_TRUE(image.ok()) << image.status().message();
    expect_pixels(*image, c["expected"], path);
  }
  for (const Json& c : expected.manifest["resize"]) {
    const auto contract = parse_contract(Json{{"interpolation", c["interpolation"]}}.dump());
    const auto image = load_image(c["path"]);
    ASSERT_TRUE(image.ok() && contract.ok());
    const auto resized = resize(*image, c["width"], c["height"], {contract->interpolation});
    ASSERT_TRUE(resized.ok()) << resized.status().message();
    expect_pixels(*resized, c["expected"],
                  c.dump() + fmt::format(" from {}x{}", image->width, image->height));
  }
}

void expect_floats(std::span<const float> made, const std::string& npy, const std::string& what) {
  const auto expected = load_npy(npy);
  ASSERT_TRUE(expected.ok()) << expected.status().message();
  const auto values = expected->as<float>();
  ASSERT_EQ(values.size(), made.size()) << what;
  int different = 0;
  float largest = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    different += values[i] != made[i];
    largest = std::max(largest, std::abs(values[i] - made[i]));
  }
  EXPECT_EQ(different, 0) << what << ": of " << values.size() << " values, by at most " << largest;
}

TEST(Torchvision, PreparesTensorsOfBytesAndOfFloatsToTheSameBits) {
  VTL_EXPECTED(expected, "torchvision_expected.py", "torch, torchvision");
  EXPECT_GT(expected.manifest["resize"].size(), 100u);
  EXPECT_GT(expected.manifest["crop"].size(), 15u);
  for (const Json& c : expected.manifest["resize"]) {
    const auto contract = parse_contract(Json{{"interpolation", c["interpolation"]}}.dump());
    const auto image = load_image(c["path"]);
    ASSERT_TRUE(image.ok() && contract.ok());
    const auto resized =
        resize(*image, c["width"], c["height"], {contract->interpolation, Arithmetic::kTorch});
    ASSERT_TRUE(resized.ok()) << resized.status().message();
    expect_pixels(*resized, c["expected"], c.dump() + fmt::format(" from {}x{}", image->width, image->height));
  }
  for (const Json& c : expected.manifest["crop"]) {
    const auto contract = parse_contract(c["contract"].dump());
    const auto file = read_file(c["path"], kMaxImageFileBytes);
    ASSERT_TRUE(file.ok() && contract.ok()) << contract.status().message();
    Image out{112, 112, std::vector<uint8_t>(size_t{3} * 112 * 112)};
    ASSERT_TRUE(preprocess_encoded(testing::bytes_of(*file), *contract, out.pixels.data()).ok());
    expect_pixels(out, c["expected"], c.dump());
  }
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2")) return;  // PyTorch's kernels for other processors round floats elsewhere
#endif
  EXPECT_GT(expected.manifest["float"].size(), 90u);
  EXPECT_GT(expected.manifest["whole"].size(), 30u);
  for (const Json& c : expected.manifest["float"]) {
    const auto contract = parse_contract(Json{{"interpolation", c["interpolation"]}}.dump());
    const auto image = load_image(c["path"]);
    ASSERT_TRUE(image.ok() && contract.ok());
    const int width = c["width"], height = c["height"];
    const auto resized = resize_floats(*image, {0, 0, image->width, image->height}, width, height, contract->interpolation,
                                       {0, 0, width, height});
    ASSERT_TRUE(resized.ok()) << resized.status().message();
    expect_floats(resized->values, c["expected"], c.dump() + fmt::format(" from {}x{}", image->width, image->height));
  }
  for (const Json& c : expected.manifest["whole"]) {
    const auto contract = parse_contract(c["contract"].dump());
    const auto file = read_file(c["path"], kMaxImageFileBytes);
    ASSERT_TRUE(file.ok() && contract.ok()) << contract.status().message();
    std::vector<float> out(size_t{3} * 112 * 112);
    ASSERT_TRUE(preprocess_encoded(testing::bytes_of(*file), *contract, out.data()).ok());
    expect_floats(out, c["expected"], c.dump());
  }
}

TEST(Timm, PreprocessesToTheSameTensors) {
  VTL_EXPECTED(expected, "timm_expected.py", "timm, torchvision");
  EXPECT_GT(expected.manifest["preprocess"].size(), 200u);
  for (const Json& c : expected.manifest["preprocess"]) {
    const auto contract = parse_contract(c["contract"].dump());
    const auto image = load_image(c["path"]);
    const auto tensor = load_npy(c["expected"]);
    ASSERT_TRUE(contract.ok() && image.ok() && tensor.ok()) << contract.status().message();
    ASSERT_EQ(tensor->shape(), (Shape{3, contract->height, contract->width}));
    std::vector<float> out(static_cast<size_t>(tensor->count()));
    ASSERT_TRUE(preprocess(*image, *contract, out.data()).ok());
    float largest = 0;
    for (size_t i = 0; i < out.size(); ++i)
      largest = std::max(largest, std::abs(out[i] - tensor->as<float>()[i]));
    EXPECT_LE(largest, 1e-6f) << c.dump() << " from " << image->width << "x" << image->height;
  }
}

}  // namespace
}  // namespace vitrail
