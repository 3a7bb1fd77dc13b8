// SPDX-License-Identifier: Apache-2.0
#include "preprocess/contract.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <limits>

namespace vitrail {
namespace {

using ::testing::HasSubstr;

TEST(Contract, RoundTrip) {
  PreprocessContract c;
  EXPECT_EQ(*parse_contract(contract_to_json(c)), c);
  EXPECT_EQ(*parse_contract("{}"), c);
  for (ResizeMode mode : {ResizeMode::kSquash, ResizeMode::kShortest, ResizeMode::kLongest})
    for (Interpolation interpolation : {Interpolation::kNearest, Interpolation::kBilinear,
                                        Interpolation::kBicubic, Interpolation::kLanczos}) {
      c = {384, 256, mode, 0.9, interpolation, {0.1f, 1e-7f, 0.123456789f}, {1e5f, 3, 1}, "BGR"};
      EXPECT_EQ(*parse_contract(contract_to_json(c)), c) << contract_to_json(c);
    }
  c.interpolation = Interpolation::kBilinear;
  c.arithmetic = Arithmetic::kTorch;
  c.decoding = Decoding::kScaled;
  EXPECT_EQ(*parse_contract(contract_to_json(c)), c) << contract_to_json(c);
}

TEST(Contract, PrintsNumbersAsTheyWereWritten) {
  EXPECT_EQ(contract_to_json({}),
            R"({"height":224,"width":224,"resize_mode":"shortest","crop_pct":1.0,"interpolation":"bicubic",)"
            R"("mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225],"color":"RGB"})");
}

TEST(Contract, AbsentKeysKeepTheBase) {
  PreprocessContract base;
  base.height = 64;
  base.color = "BGR";
  const auto c = parse_contract(R"({"width": 32})", base);
  ASSERT_TRUE(c.ok());
  EXPECT_EQ(c->height, 64);
  EXPECT_EQ(c->width, 32);
  EXPECT_EQ(c->color, "BGR");
}

TEST(Contract, EveryMistakeNamesItsKey) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"hight": 224})", "unknown key \"hight\""},
      {R"({"height": 0})", "\"height\" is 0"},
      {R"({"height": 16385})", "\"height\" is 16385"},
      {R"({"width": 224.5})", "\"width\" is 224.5"},
      {R"({"width": "224"})", "\"width\" is \"224\""},
      {R"({"width": 99999999999999999999})", "\"width\""},
      {R"({"crop_pct": 0})", "\"crop_pct\" is 0"},
      {R"({"crop_pct": 1.01})", "\"crop_pct\" is 1.01"},
      {R"({"crop_pct": 1e-9})", "crop_pct"},
      {R"({"crop_pct": null})", "\"crop_pct\" is null"},
      {R"({"resize_mode": "crop"})", "squash, shortest, longest"},
      {R"({"interpolation": 3})", "nearest, bilinear, bicubic, lanczos, box, hamming"},
      {R"({"arithmetic": "opencv"})", "pillow, torchvision"},
      {R"({"arithmetic": "torchvision", "interpolation": "lanczos"})", "\"lanczos\", which torchvision has not"},
      {R"({"decoding": true})", "exact, scaled"},
      {R"({"mean": [0.1, 0.2]})", "\"mean\""},
      {R"({"mean": [0.1, 0.2, "x"]})", "\"mean\""},
      {R"({"mean": [0.1, 0.2, 1e300]})", "\"mean\"[2] is not finite"},
      {R"({"std": [0.1, 0, 0.1]})", "\"std\"[1] is 0"},
      {R"({"std": [0.1, 1e-60, 0.1]})", "\"std\"[1]"},
      {R"({"color": "rgb"})", "\"color\" is \"rgb\""},
      {R"({"color": ["é\ud83d\ude00éééééééééééééééééééééééééééééééééééééééééééé"]})", "\"color\""},
      {"[1]", "JSON object"},
      {"{\"height\": 224", "line 1"},
      {"", "line 1"},
      {"\xff\xfe", "preprocessing"},
  };
  for (const auto& [json, message] : cases) {
    const auto c = parse_contract(json);
    ASSERT_FALSE(c.ok()) << json;
    EXPECT_EQ(c.status().code(), Code::kBadInput) << json;
    EXPECT_THAT(c.status().message(), HasSubstr(message)) << json;
  }
  EXPECT_FALSE(parse_contract(std::string(100000, '[')).ok());
}

TEST(Contract, NotANumberIsRefused) {
  PreprocessContract c;
  c.crop_pct = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(check_contract(c).ok());
}

TEST(Contract, TheSharedExampleParses) {
  std::ifstream file(VTL_SHARED_DATA "/models/dinov2s_cifar10.preprocess.json");
  if (!file) GTEST_SKIP() << "no ../shared/data/models";
  const auto c = parse_contract({std::istreambuf_iterator<char>(file), {}});
  ASSERT_TRUE(c.ok()) << c.status().message();
  EXPECT_EQ(c->resize_mode, ResizeMode::kSquash);
  EXPECT_EQ(c->height, 224);
}

}  // namespace
}  // namespace vitrail
