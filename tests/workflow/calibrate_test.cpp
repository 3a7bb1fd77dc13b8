// SPDX-License-Identifier: Apache-2.0
#include "workflow/calibrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "../passes/graph_builder.h"
#include "core/npy.h"
#include "passes/byte_input.h"

namespace vitrail::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

namespace fs = std::filesystem;

class Calibrate : public ::testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / ("vtl_calibrate_" + std::to_string(::getpid()));
    fs::create_directories(folder);
    contract.height = contract.width = 4;
    contract.resize_mode = ResizeMode::kSquash;
    contract.mean = {0.5f, 0.5f, 0.5f};
    contract.std = {0.5f, 0.25f, 0.125f};
    options.images = folder;
  }
  void TearDown() override { fs::remove_all(folder); }

  // A picture of one colour.
  void picture(const std::string& name, uint8_t r, uint8_t g, uint8_t b) const {
    std::ofstream out(folder / name, std::ios::binary);
    out << "P6\n4 4\n255\n";
    for (int i = 0; i < 16; ++i) out << static_cast<char>(r) << static_cast<char>(g) << static_cast<char>(b);
  }

  // -3x, then only what is positive of it.
  static Graph model() {
    GraphBuilder b;
    const ValueId x = b.input("x", {kN, 3_d, 4_d, 4_d});
    const ValueId scaled = b.node(Op::Mul, {x, b.real(-3)}, {}, "scaled");
    b.output(b.node(Op::Relu, {scaled}, {}, "positive"));
    EXPECT_TRUE(infer_shapes(b.graph).ok());
    return b.graph;
  }

  fs::path folder;
  PreprocessContract contract;
  CalibrateOptions options;
};

TEST_F(Calibrate, RecordsTheLargestMagnitudeOfEveryValueOverAllImages) {
  picture("a.ppm", 255, 0, 128);  // 1, -2, 0.0157
  picture("b.ppm", 0, 255, 191);  // -1, 2, 1.99
  const auto found = calibrate(model(), contract, options);
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ(found->samples, 2);
  ASSERT_EQ(found->absmax.size(), 3u);
  EXPECT_NEAR(found->absmax.at("x"), 2.0f, 1e-6);
  EXPECT_NEAR(found->absmax.at("scaled"), 6.0f, 1e-5);
  EXPECT_NEAR(found->absmax.at("positive"), 6.0f, 1e-5);  // of the first image's -2
  EXPECT_THAT(found->warnings, ElementsAre(HasSubstr("2 images only")));

  options.threads = 2;
  const auto again = calibrate(model(), contract, options);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->absmax, found->absmax);
}

TEST_F(Calibrate, BytesGiveTheSameRangesUnderTheChainsNames) {
  picture("a.ppm", 255, 0, 128);
  Graph graph = model();
  ASSERT_TRUE(use_byte_input(graph, byte_scaling(contract.mean, contract.std)).ok());
  const auto found = calibrate(graph, contract, options);
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_FLOAT_EQ(found->absmax.at("x/cast"), 255);
  EXPECT_NEAR(found->absmax.at("x/transpose"), 2.0f, 1e-6);
  EXPECT_NEAR(found->absmax.at("positive"), 6.0f, 1e-5);
  EXPECT_FALSE(found->absmax.contains("x"));  // bytes need no range
}

TEST_F(Calibrate, SkipsBrokenImagesByName) {
  picture("a.ppm", 255, 0, 128);
  std::ofstream(folder / "broken.ppm") << "P6\n4 4\n255\nxyz";
  const auto found = calibrate(model(), contract, options);
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ(found->samples, 1);
  EXPECT_THAT(found->warnings, ElementsAre(AllOf(HasSubstr("skipped 1"), HasSubstr("broken.ppm")),
                                           HasSubstr("1 images only")));
  fs::remove(folder / "a.ppm");
  const auto none = calibrate(model(), contract, options);
  EXPECT_EQ(none.status().code(), Code::kBadInput);
  EXPECT_THAT(none.status().message(), HasSubstr("broken.ppm"));
}

TEST_F(Calibrate, TakesImagesEvenlySpread) {
  for (int i = 0; i < 10; ++i)
    picture(std::string("p") + static_cast<char>('0' + i) + ".ppm", static_cast<uint8_t>(128 + 10 * i), 128,
            128);
  options.samples = 2;  // of 10: the first and the sixth
  const auto found = calibrate(model(), contract, options);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->samples, 2);
  EXPECT_NEAR(found->absmax.at("x"), (178 / 255.0 - 0.5) / 0.5, 1e-6);
}

TEST_F(Calibrate, WithoutImagesItTakesNoiseAndSaysSo) {
  options.images.clear();
  const auto first = calibrate(model(), contract, options), second = calibrate(model(), contract, options);
  ASSERT_TRUE(first.ok() && second.ok()) << first.status().message();
  EXPECT_EQ(first->samples, 32);
  EXPECT_EQ(first->absmax, second->absmax);
  EXPECT_NEAR(first->absmax.at("x"), 4.0f, 0.2);  // (1 - 0.5) / 0.125: within the range of pictures
  EXPECT_LE(first->absmax.at("x"), 4.0f + 1e-5);
  EXPECT_THAT(first->warnings, ElementsAre(HasSubstr("noise")));
}

TEST_F(Calibrate, CountsFiniteValuesOnlyAndNamesTheOverflow) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 3_d, 4_d, 4_d});
  b.output(b.node(Op::Div, {x, b.constant(Tensor::f32({4}, {1, 0, 1, 1}))}, {}, "divided"));
  ASSERT_TRUE(infer_shapes(b.graph).ok());
  picture("a.ppm", 255, 0, 128);
  const auto found = calibrate(b.graph, contract, options);
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_NEAR(found->absmax.at("divided"), 2.0f, 1e-6);
  EXPECT_THAT(found->warnings.back(), HasSubstr("'divided'"));
}

TEST_F(Calibrate, AModelThatIsNotFedWithImagesTakesArrays) {
  GraphBuilder b;
  b.output(b.node(Op::Relu, {b.input("v", {kN, 3_d})}, {}, "r"));
  ASSERT_TRUE(infer_shapes(b.graph).ok());
  ASSERT_TRUE(save_npy(folder / "v.npy", Tensor::f32({2, 3}, {1, -7, 2, 0, 5, -1}).view()).ok());
  const auto found = calibrate(b.graph, contract, options);
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ(found->absmax, (std::map<std::string, float>{{"v", 7.0f}, {"r", 5.0f}}));
}

}  // namespace
}  // namespace vitrail::testing
