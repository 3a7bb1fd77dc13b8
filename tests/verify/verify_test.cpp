// SPDX-License-Identifier: Apache-2.0
#include "verify/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/cancel.h"
#include "core/error.h"

namespace vitrail {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

// y[n,c] = factor × sum of sample n × (c + 1) + offset, six classes; the value "mid" is the sum, [n,1].
struct FakeModel {
  float factor = 1;
  float offset = 0;
  float neighbour = 0;  // share of the row above that leaks in
  std::string output = "logits";
  int64_t classes = 6;
  std::vector<int64_t> batches;

  VerifySubject subject(std::string name) {
    return {std::move(name), [this](auto inputs, auto values) -> Result<SubjectValues> {
              const Tensor& x = inputs[0].tensor;
              const int64_t n = x.dim(0), width = x.count() / n;
              batches.push_back(n);
              Tensor y(DType::kF32, {n, classes}), mid(DType::kF32, {n, 1});
              float above = 0;
              for (int64_t i = 0; i < n; ++i) {
                float sum = neighbour * above;
                for (int64_t j = 0; j < width; ++j) sum += x.as<float>()[static_cast<size_t>(i * width + j)];
                mid.as_mutable<float>()[static_cast<size_t>(i)] = sum * factor;
                for (int64_t c = 0; c < classes; ++c)
                  y.as_mutable<float>()[static_cast<size_t>(i * classes + c)] =
                      factor * sum * static_cast<float>(c + 1) + offset;
                above = sum;
              }
              SubjectValues out{{{output, y}}, {}};
              if (!values.empty()) out.values.push_back({"mid", mid});
              return out;
            }};
  }
};

class Verify : public testing::Test {
 protected:
  void SetUp() override { cancel::reset(); }
  void TearDown() override { cancel::reset(); }
  SampleSource samples(int64_t count, float scale = 1) {
    return {count, "test", [scale](int64_t i) -> Result<std::vector<NamedTensor>> {
              const auto v = static_cast<float>(i + 1) * scale;
              return std::vector<NamedTensor>{{"x", Tensor::f32({1, 2}, {v, 2 * v})}};
            }};
  }
  Result<VerifyReport> run(int64_t count = 6) {
    return verify(got.subject("engine"), want.subject("reference"), samples(count), stages, options);
  }
  FakeModel got, want;
  std::vector<StagePoint> stages{{"block.0", "mid"}};
  VerifyOptions options;
};

TEST_F(Verify, EqualModelsPass) {
  const auto report = run();
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_TRUE(report->passed);
  EXPECT_EQ(report->samples, 6);
  ASSERT_EQ(report->outputs.size(), 1u);
  EXPECT_EQ(report->outputs[0].count, 36);
  EXPECT_EQ(report->outputs[0].max_abs, 0);
  EXPECT_EQ(report->outputs[0].top1_agreement, 1.0);
  EXPECT_EQ(report->outputs[0].top5_agreement, 1.0);
  ASSERT_EQ(report->stages.size(), 1u);
  EXPECT_EQ(report->stages[0].stage, "block.0");
  EXPECT_EQ(report->stages[0].count, 6);
  ASSERT_EQ(report->batch_invariant.size(), 1u);
  EXPECT_TRUE(report->batch_invariant[0].bit_identical);
  EXPECT_THAT(to_table(*report), HasSubstr("passed: engine against reference, 6 samples"));
  // Chunks of 4: four single runs, one of 4, two single, one of 4 filled up with copies.
  EXPECT_THAT(got.batches, ElementsAre(1, 1, 1, 1, 4, 1, 1, 4));
  EXPECT_THAT(want.batches, ElementsAre(1, 1, 1, 1, 1, 1));
}

TEST_F(Verify, AnErrorOutOfToleranceFailsAndIsPlaced) {
  got.factor = 1.01f;
  const auto report = run();
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->passed);
  EXPECT_FALSE(report->outputs[0].passed);
  EXPECT_NEAR(report->outputs[0].max_scaled, 0.01, 1e-6);
  EXPECT_NEAR(report->stages[0].max_scaled, 0.01, 1e-6);
  EXPECT_THAT(report->failures, ElementsAre(HasSubstr("output 'logits': greatest error 0.01")));
  EXPECT_THAT(report->failures[0], HasSubstr("sample 5 at [0,5]"));
  options.tolerance.max_scaled = 0.02;
  EXPECT_TRUE(run()->passed);
}

TEST_F(Verify, TheCosineIsATestOfItsOwn) {
  options.tolerance.max_scaled = 100;
  got.offset = 30;
  const auto report = run(1);
  EXPECT_FALSE(report->passed);
  EXPECT_THAT(report->failures, Contains(HasSubstr("least cosine")));
}

TEST_F(Verify, NanFails) {
  options.tolerance = {1e9, -2, 0};
  got.offset = NAN;
  const auto report = run();
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->passed);
  EXPECT_EQ(report->outputs[0].non_finite, 36);
  EXPECT_THAT(report->failures, Contains(HasSubstr("36 elements are NaN or infinite")));
  EXPECT_TRUE(to_json(*report)["outputs"][0]["max_abs"].is_null());
}

TEST_F(Verify, TopOneCanBeMadeToCount) {
  options.tolerance = {1e9, -2, 0.9};
  got.factor = -1;
  const auto report = run();
  EXPECT_EQ(report->outputs[0].top1_agreement, 0.0);
  EXPECT_THAT(report->failures, ElementsAre(HasSubstr("top-1 agrees on 0.00 %")));
}

TEST_F(Verify, RowsThatLeakIntoTheirNeighboursAreFound) {
  got.neighbour = 0.5;
  const auto report = run();
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->outputs[0].max_abs, 0);  // at batch 1 nothing is wrong
  EXPECT_FALSE(report->batch_invariant[0].bit_identical);
  EXPECT_FALSE(report->passed);
  EXPECT_THAT(report->failures, ElementsAre(HasSubstr("batch 4 differs from batch 1")));
}

TEST_F(Verify, OtherBaseBatchesAreFilledUp) {
  options.batches = {4};
  options.reference_batch = 2;
  const auto report = run(5);
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->passed);
  EXPECT_THAT(got.batches, ElementsAre(4, 4));
  EXPECT_THAT(want.batches, ElementsAre(2, 2, 2));
  EXPECT_TRUE(report->batch_invariant.empty());
}

TEST_F(Verify, TheDatasetHashTellsDataApart) {
  const auto a = run(), b = run();
  EXPECT_EQ(a->dataset_hash.size(), 32u);
  EXPECT_EQ(a->dataset_hash, b->dataset_hash);
  const auto other = verify(got.subject("e"), want.subject("r"), samples(6, 1.5f), stages, options);
  EXPECT_NE(a->dataset_hash, other->dataset_hash);
}

TEST_F(Verify, WhatDoesNotFitTogetherIsAnError) {
  auto expect = [&](const Result<VerifyReport>& result, Code code, const char* text) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.status().code(), code);
    EXPECT_THAT(result.status().message(), HasSubstr(text));
  };
  expect(run(0), Code::kUsage, "no samples");
  options.batches = {0};
  expect(run(), Code::kUsage, "batch size 0");
  options.batches = {1};
  got.output = "other";
  expect(run(), Code::kBadInput, "no output 'logits'");
  got.output = "logits";
  got.classes = 7;
  expect(run(), Code::kBadInput, "[1,7], the reference [1,6]");
  got.classes = 6;
  stages = {{"block.1", "absent"}};
  expect(run(), Code::kBadInput, "stage 'block.1'");
}

TEST_F(Verify, FailuresOfASideAndOfTheSourceComeThrough) {
  VerifySubject broken{"engine",
                       [](auto, auto) -> Result<SubjectValues> { return resource_error("workspace"); }};
  const auto result = verify(broken, want.subject("reference"), samples(1), stages, options);
  EXPECT_EQ(result.status().code(), Code::kResource);
  EXPECT_EQ(result.status().message(), "engine at batch 1: workspace");
  SampleSource bad{1, "x",
                   [](int64_t) -> Result<std::vector<NamedTensor>> { return io_error("no such file"); }};
  EXPECT_EQ(verify(got.subject("e"), want.subject("r"), bad, stages, options).status().code(), Code::kIo);
  SampleSource wide{1, "x", [](int64_t) -> Result<std::vector<NamedTensor>> {
                      return std::vector<NamedTensor>{{"x", Tensor::f32({2, 1}, {1, 2})}};
                    }};
  EXPECT_THAT(verify(got.subject("e"), want.subject("r"), wide, stages, options).status().message(),
              HasSubstr("first extent must be 1"));
}

TEST_F(Verify, AnInterruptionIsSaid) {
  cancel::request();
  EXPECT_EQ(run().status().code(), Code::kCancelled);
}

TEST_F(Verify, JsonHasTheKeysThatOthersBuildOn) {
  got.classes = want.classes = 3;
  const auto json = to_json(*run());
  for (const char* key :
       {"outputs", "stages", "passed", "tolerance", "samples", "dataset_hash", "reference", "engine_hash"})
    EXPECT_TRUE(json.contains(key)) << key;
  for (const char* key :
       {"name", "max_abs", "mean_abs", "max_rel", "cosine", "top1_agreement", "top5_agreement"})
    EXPECT_TRUE(json["outputs"][0].contains(key)) << key;
  EXPECT_EQ(json["outputs"][0]["name"], "logits");
  EXPECT_EQ(json["outputs"][0]["top1_agreement"], 1.0);
  EXPECT_TRUE(json["outputs"][0]["top5_agreement"].is_null());  // three classes
  EXPECT_EQ(json["stages"][0]["name"], "block.0");
  EXPECT_EQ(json["stages"][0]["value"], "mid");
  EXPECT_EQ(json["passed"], true);
  EXPECT_TRUE(nlohmann::json::accept(to_json_text(*run())));
}

TEST(Judge, NothingComparedDoesNotPass) {
  VerifyReport report;
  judge(report);
  EXPECT_FALSE(report.passed);
}

}  // namespace
}  // namespace vitrail
