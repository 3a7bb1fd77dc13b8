// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/calibration.h"

#include <gmock/gmock.h>

#include <cstring>

#include "core/error.h"

namespace vitrail::tensorrt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Graph one_input(Dim batch) {
  Graph g;
  g.inputs = {g.add_value({"x", DType::kF32, SymShape{batch, Dim::of(2)}, {}, {}})};
  return g;
}

// Sample i is [i, -i]; those in `broken` cannot be read.
CalibrationFeed feed(int64_t count, std::vector<int64_t> broken = {}) {
  CalibrationFeed f;
  f.count = count;
  f.load = [broken = std::move(broken)](int64_t i) -> Result<std::vector<NamedTensor>> {
    for (int64_t b : broken)
      if (b == i) return bad_input("picture {} is torn", i);
    const auto v = static_cast<float>(i);
    return std::vector<NamedTensor>{{"x", Tensor::f32({1, 2}, {v, -v})}};
  };
  return f;
}

std::vector<float> floats(const CalibrationBatches& batches) {
  const auto* bytes = batches.buffer("x");
  std::vector<float> out(bytes->size() / sizeof(float));
  std::memcpy(out.data(), bytes->data(), bytes->size());
  return out;
}

TEST(CalibrationBatches, JoinsSamplesAndFillsUpTheLastBatch) {
  const Graph graph = one_input(Dim::batch());
  const CalibrationFeed samples = feed(10);
  CalibrationBatches batches(graph, samples);
  EXPECT_EQ(batches.batch(), kCalibrationBatch);
  ASSERT_TRUE(batches.next().value());
  EXPECT_THAT(floats(batches), ElementsAre(0, -0.0f, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6, 7, -7));
  ASSERT_TRUE(batches.next().value());
  EXPECT_THAT(floats(batches), ElementsAre(8, -8, 9, -9, 8, -8, 9, -9, 8, -8, 9, -9, 8, -8, 9, -9));
  EXPECT_FALSE(batches.next().value());
  EXPECT_EQ(batches.used(), 10);
  EXPECT_EQ(batches.buffer("y"), nullptr);
}

TEST(CalibrationBatches, FewSamplesMakeASmallBatchAndAFixedModelItsOwn) {
  const CalibrationFeed few = feed(3);
  const Graph any = one_input(Dim::batch()), fixed = one_input(Dim::of(2));
  EXPECT_EQ(CalibrationBatches(any, few).batch(), 3);
  CalibrationBatches two(fixed, few);
  EXPECT_EQ(two.batch(), 2);
  ASSERT_TRUE(two.next().value());
  ASSERT_TRUE(two.next().value());
  EXPECT_THAT(floats(two), ElementsAre(2, -2, 2, -2));
}

TEST(CalibrationBatches, PassesOverWhatCannotBeRead) {
  const Graph graph = one_input(Dim::of(2));
  const CalibrationFeed samples = feed(4, {0, 2});
  CalibrationBatches batches(graph, samples);
  ASSERT_TRUE(batches.next().value());
  EXPECT_THAT(floats(batches), ElementsAre(1, -1, 3, -3));
  EXPECT_FALSE(batches.next().value());
  EXPECT_THAT(batches.skipped(), ElementsAre("picture 0 is torn", "picture 2 is torn"));
  const CalibrationFeed none = feed(2, {0, 1});
  CalibrationBatches nothing(graph, none);
  EXPECT_FALSE(nothing.next().value());
  EXPECT_EQ(nothing.used(), 0);
}

TEST(CalibrationBatches, ASampleThatDoesNotFitIsAnError) {
  const Graph graph = one_input(Dim::batch());
  CalibrationFeed wrong = feed(1);
  wrong.load = [](int64_t) { return std::vector<NamedTensor>{{"x", Tensor::f32({1, 3}, {1, 2, 3})}}; };
  EXPECT_THAT(CalibrationBatches(graph, wrong).next().status().message(), HasSubstr("is 12 bytes and not 8"));
  wrong.load = [](int64_t) { return std::vector<NamedTensor>{{"z", Tensor::f32({1, 2}, {1, 2})}}; };
  EXPECT_THAT(CalibrationBatches(graph, wrong).next().status().message(), HasSubstr("no input 'x'"));
}

TEST(CalibrationCache, ReadsTensorRTsTable) {
  const auto cache = parse_calibration_cache("TRT-8503-EntropyCalibration2\ninput: 3c010a14\n/blocks.0/a: b: 3f800000\nzeros: 0\nlast: 3f800000", "f");
  ASSERT_TRUE(cache.ok()) << cache.status().message();
  EXPECT_EQ(cache->version, 8503);
  ASSERT_EQ(cache->steps.size(), 4u);
  EXPECT_FLOAT_EQ(cache->steps.at("input"), 0.007875938f);  // 1.00024 / 127
  EXPECT_EQ(cache->steps.at("/blocks.0/a: b"), 1.0f);
  EXPECT_EQ(cache->steps.at("zeros"), 0.0f);
  EXPECT_EQ(cache->steps.at("last"), 1.0f);  // whole without a line's end
  EXPECT_EQ(version_name(8503), "8.5.3");
  EXPECT_EQ(version_name(101601), "10.16.1");
}

TEST(CalibrationCache, DamageNamesTheLine) {
  const auto message = [](std::string_view text) { return parse_calibration_cache(text, "c.cache").status().message(); };
  EXPECT_THAT(message(""), HasSubstr("no tensor has a range"));
  EXPECT_THAT(message("\x7f""ELF"), HasSubstr("c.cache: line 1 is not TRT-VERSION-EntropyCalibration2"));
  EXPECT_THAT(message("TRT-x-EntropyCalibration2\n"), HasSubstr("line 1"));
  EXPECT_THAT(message("TRT-8503-MinMaxCalibration\nx: 3f800000\n"), HasSubstr("it is of MinMaxCalibration"));
  EXPECT_THAT(message("TRT-8503-EntropyCalibration2\nx: 3f800000f\n"), HasSubstr("line 2 is not TENSOR: HEX DIGITS"));
  EXPECT_THAT(message("TRT-8503-EntropyCalibration2\nx: \n"), HasSubstr("line 2 is not TENSOR: HEX DIGITS"));
  EXPECT_THAT(message("TRT-8503-EntropyCalibration2\nx: 3f80"), HasSubstr("line 2 is cut off"));
  EXPECT_THAT(message("TRT-8503-EntropyCalibration2\nx 3f800000\n"), HasSubstr("line 2"));
  EXPECT_THAT(message("TRT-8503-EntropyCalibration2\nx: 7fc00000\n"), HasSubstr("line 2 holds no step"));
  EXPECT_THAT(message("TRT-8503-EntropyCalibration2\nx: bf800000\n"), HasSubstr("line 2 holds no step"));
  EXPECT_THAT(message("TRT-8503-EntropyCalibration2\nx: 3f800000\nx: 3f800000\n"), HasSubstr("line 3 repeats"));
  EXPECT_THAT(message("TRT-8503-EntropyCalibration2\n"), HasSubstr("no tensor has a range"));
}

}  // namespace
}  // namespace vitrail::tensorrt
