// SPDX-License-Identifier: Apache-2.0
#include "report/read.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "report/report.h"
#include "sample_runs.h"

namespace vitrail::report {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Status read(const nlohmann::json& json) {
  Data data;
  return read_run(json.dump(), "runs/x.json", data);
}

TEST(Read, TakesARunItsOrderAndItsKind) {
  const Data data = read_all({bench_json("a", "vitrail 0.1.0", "fp32", {{8, 80}, {1, 50}}),
                              bench_json("b", "PyTorch 2.9", "fp32", {{1, 10}}),
                              bench_json("c", "onnxruntime 1.23", "fp32", {{1, 10}})});
  ASSERT_EQ(data.runs.size(), 3u);
  EXPECT_EQ(data.runs[0].kind, Kind::kVitrail);
  EXPECT_EQ(data.runs[1].kind, Kind::kPyTorch);
  EXPECT_EQ(data.runs[2].kind, Kind::kPeer);
  EXPECT_EQ(data.runs[0].points[0].batch, 1);  // ascending
  EXPECT_EQ(data.runs[0].points[1].images_per_second, 80);
  EXPECT_FALSE(data.runs[0].points[0].gflops);
}

TEST(Read, SplitsARunByStreams) {
  auto json = bench_json("a", "vitrail", "fp32", {{1, 50}, {1, 90}});
  json["results"][1]["streams"] = 2;
  const Data data = read_all({json});
  ASSERT_EQ(data.runs.size(), 2u);
  EXPECT_EQ(data.runs[1].label, "a, 2 streams × 1 threads");
  EXPECT_EQ(data.runs[1].points[0].images_per_second, 90);
}

TEST(Read, FindsRunsInsideTheOutputOfOptimizeAndPeers) {
  const auto run = bench_json("a", "vitrail", "fp32", {{1, 50}});
  Data data = read_all({{{"bench", run}, {"verify", verify_json("h", true)}},
                        {{"peers", {run, run}}},
                        nlohmann::json::array({run, verify_json("h", false)})});
  EXPECT_EQ(data.runs.size(), 4u);
  EXPECT_EQ(data.verifications.size(), 2u);
}

TEST(Read, FaultsNameTheFileAndTheKey) {
  auto expect = [](nlohmann::json::json_pointer where, nlohmann::json value, const char* key) {
    auto json = bench_json("a", "vitrail", "fp32", {{1, 50}, {8, 60}});
    json[where] = std::move(value);
    const Status status = read(json);
    EXPECT_EQ(status.code(), Code::kBadInput) << key;
    EXPECT_THAT(status.message(), AllOf(HasSubstr("runs/x.json"), HasSubstr(key)));
  };
  using P = nlohmann::json::json_pointer;
  expect(P("/results"), "text", "'results' must be an array");
  expect(P("/results/1"), 7, "'results[1]' must be an object");
  expect(P("/results/1/mean_us"), "fast", "'results[1].mean_us' must be a number");
  expect(P("/results/1/mean_us"), -1, "'results[1].mean_us' is -1");
  expect(P("/results/1/batch"), 1.5, "'results[1].batch' is 1.5");
  expect(P("/results/0/batch"), 0, "'results[0].batch' is 0");
  expect(P("/results/0/batch"), 1e300, "'results[0].batch'");
  expect(P("/results/0/images_per_second"), nullptr, "'results[0].images_per_second' is missing");
  expect(P("/results/0/distribution_us"), {3, 2}, "'results[0].distribution_us' must ascend");
  expect(P("/results/0/distribution_us"), {1, "x"}, "finite numbers");
  expect(P("/results/0/layers"), {{{"name", "l"}}}, "'results[0].layers[0].median_us' is missing");
  expect(P("/machine"), 3, "'machine' must be an object");
  expect(P("/machine/cores"), "two", "'machine.cores' must be a number");
  expect(P("/machine/gpu"), "H100", "'machine.gpu' must be an object");
  expect(P("/results/0/device"), {{"compute", 3}}, "'results[0].device.compute' must be an object");
  expect(P("/results/0/device"), {{"compute", {{"median_us", -3}}}},
         "'results[0].device.compute.median_us' is -3");
  expect(P("/label"), 5, "'label' must be a string");
  expect(P("/warnings"), {1}, "'warnings' must hold strings");
}

TEST(Read, VerificationFaultsToo) {
  auto json = verify_json("h", true);
  json["passed"] = "yes";
  EXPECT_THAT(read(json).message(), HasSubstr("'passed' must be true or false"));
  json = verify_json("h", true);
  json["outputs"][0]["max_abs"] = "x";
  EXPECT_THAT(read(json).message(), HasSubstr("'outputs[0].max_abs'"));
  EXPECT_THAT(read({{"verify", {{"outputs", 1}, {"passed", true}}}}).message(),
              HasSubstr("'verify.outputs' must be an array"));
}

TEST(Read, WhatIsNotARunIsSaid) {
  EXPECT_THAT(read({{"hello", 1}}).message(), HasSubstr("not a bench, verify or optimize output"));
  EXPECT_THAT(read(7).message(), HasSubstr("must be an object or an array"));
  EXPECT_THAT(read({{"runs", {{{"runs", {}}}}}}).message(), HasSubstr("'runs[0].results' is missing"));
  Data data;
  EXPECT_EQ(read_run("{\"results\": [", "cut.json", data).code(), Code::kBadInput);
  EXPECT_THAT(read_run("{\"results\": [", "cut.json", data).message(), HasSubstr("cut.json"));
  EXPECT_EQ(read_run(std::string(200'000, '['), "deep.json", data).code(), Code::kBadInput);
}

TEST(Read, TooManyRunsAreRefused) {
  nlohmann::json runs = nlohmann::json::array();
  for (int i = 0; i < 65; ++i) runs.push_back(bench_json("a", "vitrail", "fp32", {{1, 50}}));
  EXPECT_EQ(read(runs).code(), Code::kBadInput);
}

TEST(ReadRuns, FilesAndLabels) {
  const auto folder = std::filesystem::temp_directory_path() / "vitrail_report_read";
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "run.json").string();
  std::ofstream(path) << bench_json("same", "vitrail", "fp32", {{1, 50}}).dump();
  const auto data = read_runs(std::vector{path, path});
  ASSERT_TRUE(data.ok()) << data.status().message();
  EXPECT_EQ(data->runs[0].label, "same");
  EXPECT_EQ(data->runs[1].label, "same #2");
  EXPECT_EQ(read_runs(std::vector<std::string>{}).status().code(), Code::kUsage);
  const std::string absent = (folder / "absent.json").string();
  EXPECT_THAT(read_runs(std::vector{absent}).status().message(), HasSubstr("absent.json"));
  std::ofstream(path) << R"({"results": []})";
  EXPECT_THAT(read_runs(std::vector{path}).status().message(), HasSubstr("no results"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace vitrail::report
