// SPDX-License-Identifier: Apache-2.0
#include "report/recommend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sample_runs.h"

namespace vitrail::report {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

const auto kFp32 =
    bench_json("fp32 (cpu)", "vitrail 0.1.0", "fp32", {{1, 50}, {8, 96}, {16, 98}, {32, 100}, {64, 90}});

TEST(Recommend, TakesTheKneeNotThePeak) {
  const Recommendation r = recommend(read_all({kFp32}));
  ASSERT_EQ(r.run, 0u);
  EXPECT_EQ(r.batch, 8);  // 96 of 100
  EXPECT_EQ(r.throughput_batch, 32);
  EXPECT_EQ(r.latency_batch, 1);
}

TEST(Recommend, JustBelowTheKneeIsNotEnough) {
  const Recommendation r =
      recommend(read_all({bench_json("a", "vitrail", "fp32", {{1, 94.9}, {8, 95.1}, {32, 100}})}));
  EXPECT_EQ(r.batch, 8);
}

TEST(Recommend, ABatchOfOneGainsNothingFromBatching) {
  const Recommendation r = recommend(read_all({bench_json("a", "vitrail", "fp32", {{1, 100}, {8, 100}})}));
  EXPECT_EQ(r.batch, 1);
  EXPECT_THAT(r.notes, Contains(std::string("Nothing else was measured.")));
  EXPECT_THAT(r.notes, Not(Contains(HasSubstr("batching"))));
}

TEST(Recommend, SaysWhatWasNotMeasured) {
  const Recommendation r = recommend(read_all({kFp32}));
  EXPECT_THAT(r.notes, Contains(HasSubstr("Only one precision was measured (fp32)")));
  EXPECT_THAT(r.notes, Contains(HasSubstr("PyTorch model was not measured")));
  EXPECT_THAT(r.notes, Contains(HasSubstr("was not verified")));
  EXPECT_THAT(r.notes, Contains(HasSubstr("gain is that of batching")));
  EXPECT_TRUE(r.gain->own_batch_one);
  EXPECT_DOUBLE_EQ(*r.gain->throughput_gain, 96.0 / 50);
  EXPECT_THAT(r.headline, HasSubstr("Run fp32 on the cpu backend at batch 8: 96.0 images/s"));
}

TEST(Recommend, PyTorchIsTheBaselineWhereThereIsOne) {
  const Data data = read_all({bench_json("ort", "onnxruntime 1", "fp32", {{1, 40}, {8, 80}}), kFp32,
                              bench_json("pt", "pytorch 2.9", "fp32", {{1, 25}, {8, 32}, {32, 40}})});
  const Recommendation r = recommend(data);
  EXPECT_EQ(r.run, 1u);
  EXPECT_EQ(r.gain->baseline, "pt");
  EXPECT_DOUBLE_EQ(*r.gain->speed_up, 2);         // at batch 1
  EXPECT_DOUBLE_EQ(*r.gain->throughput_gain, 3);  // at batch 8, the recommended
  EXPECT_EQ(r.gain->throughput_batch, 8);
  EXPECT_THAT(r.headline, HasSubstr("3.00× the throughput of pt."));
  EXPECT_THAT(r.notes, Not(Contains(HasSubstr("PyTorch"))));
  const Gain at32 = gain_over(data.runs[1], data.runs[2], 32);
  EXPECT_DOUBLE_EQ(*at32.throughput_gain, 2.5);
  EXPECT_EQ(gain_over(data.runs[1], data.runs[0], 32).throughput_batch, 8);  // the greatest both have
}

TEST(Recommend, NothingInCommonIsNoGain) {
  const Data data = read_all(
      {bench_json("a", "vitrail", "fp32", {{8, 80}}), bench_json("pt", "pytorch", "fp32", {{2, 9}})});
  const Recommendation r = recommend(data);
  EXPECT_FALSE(r.gain);
  EXPECT_THAT(r.headline, Not(HasSubstr("×")));
  EXPECT_THAT(r.notes, Contains(HasSubstr("Only batch 8 was measured")));
}

TEST(Recommend, ALowerPrecisionMustBeWorthIt) {
  const auto fp16 = [](double speed) {
    return bench_json("fp16", "vitrail", "fp16", {{1, 50}, {32, speed}});
  };
  EXPECT_EQ(recommend(read_all({kFp32, fp16(101)})).run, 0u);
  EXPECT_THAT(recommend(read_all({kFp32, fp16(101)})).notes,
              Contains(HasSubstr("fp16 is not faster here than fp32: 101")));
  EXPECT_EQ(recommend(read_all({kFp32, fp16(150)})).run, 1u);
  EXPECT_THAT(recommend(read_all({kFp32, fp16(150)})).notes, Not(Contains(HasSubstr("not faster"))));
  EXPECT_THAT(recommend(read_all({kFp32, fp16(150)})).notes, Not(Contains(HasSubstr("Only one precision"))));
}

TEST(Recommend, AnEngineThatFailedVerificationIsNotRecommended) {
  const auto fast = bench_json("fp16", "vitrail", "fp16", {{1, 500}});
  const Recommendation r = recommend(
      read_all({kFp32, fast, verify_json("hash-of-fp16", false), verify_json("hash-of-fp32 (cpu)", true)}));
  EXPECT_EQ(r.run, 0u);
  EXPECT_EQ(r.verified, Verified::kPassed);
  EXPECT_THAT(r.notes, Contains("fp16 failed verification and was left out."));
  const Recommendation none = recommend(read_all({fast, verify_json("hash-of-fp16", false)}));
  EXPECT_FALSE(none.run);
  EXPECT_THAT(none.headline, HasSubstr("verification failed"));
  EXPECT_THAT(none.notes, Contains("output 'y': far off"));
}

TEST(Recommend, AVerificationOfAnotherEngineSaysNothing) {
  EXPECT_EQ(recommend(read_all({kFp32, verify_json("other", true)})).verified, Verified::kNo);
}

TEST(Recommend, ACertifiedEngineKeepsItsVerification) {
  auto verification = verify_json("hash-before-the-certificate", true);
  verification["model"] = "vit.onnx";
  verification["precision"] = "fp32";
  verification["backend"] = "cpu";
  EXPECT_EQ(recommend(read_all({kFp32, verification})).verified, Verified::kPassed);
}

TEST(Recommend, TheReferenceBackendComesLastAndIsTheBaseline) {
  auto reference = bench_json("reference", "vitrail", "fp32", {{1, 1}});
  reference["backend"] = "reference";
  const Recommendation r = recommend(read_all({reference, kFp32}));
  EXPECT_EQ(r.run, 1u);
  EXPECT_EQ(r.gain->baseline, "reference");
  const Recommendation alone = recommend(read_all({reference}));
  EXPECT_EQ(alone.run, 0u);
  EXPECT_THAT(alone.notes, Contains(HasSubstr("not built for speed")));
}

TEST(Recommend, AnEngineKnownByItsHashComesBeforeOneOfAComparison) {
  auto nameless = bench_json("vitrail 0.1.0", "vitrail 0.1.0", "fp32", {{1, 1000}});
  nameless["engine_hash"] = "";
  EXPECT_EQ(recommend(read_all({nameless, kFp32})).run, 1u);
  EXPECT_EQ(recommend(read_all({nameless})).run, 0u);
}

TEST(Recommend, DifferentMachinesAreNoted) {
  auto other = bench_json("pt", "pytorch", "fp32", {{1, 25}});
  const auto differ = Contains(HasSubstr("different machines"));
  other["machine"]["cpu"] = "Test CPU (family 6; avx2)";
  EXPECT_THAT(recommend(read_all({kFp32, other})).notes, Not(differ));
  other["machine"]["cpu"] = "Another CPU";
  EXPECT_THAT(recommend(read_all({kFp32, other})).notes, differ);
}

TEST(Recommend, NoEngineNoRecommendation) {
  EXPECT_THAT(recommend(read_all({verify_json("h", true)})).headline, HasSubstr("No engine was measured"));
  EXPECT_THAT(recommend(Data{}).headline, HasSubstr("No engine was measured"));
}

TEST(GainOver, MemoryReduction) {
  auto small = kFp32;
  for (auto& result : small["results"]) result["peak_rss_bytes"] = 58e6;
  const Data data = read_all({small, bench_json("pt", "pytorch", "fp32", {{1, 25}, {32, 40}})});
  EXPECT_NEAR(*gain_over(data.runs[0], data.runs[1], 32).memory_reduction, 0.42, 1e-12);
}

}  // namespace
}  // namespace vitrail::report
