// SPDX-License-Identifier: Apache-2.0
#include "report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "report/format.h"
#include "report/plots.h"
#include "report/svg.h"
#include "report/table.h"
#include "sample_runs.h"
#include "xml_check.h"

namespace vitrail::report {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

nlohmann::json full_bench(const std::string& label) {
  auto json = bench_json(label, "vitrail 0.1.0", "fp32", {{1, 50}, {8, 96}, {32, 100}});
  for (auto& result : json["results"]) {
    const double us = result["mean_us"];
    for (int i = 0; i <= 100; ++i) result["distribution_us"].push_back(us * (1 + i * 0.001));
    result["layers"] = {
        {{"name", label + "/qkv"}, {"op", "Linear"}, {"stage", "block.0"}, {"median_us", us * 0.7}},
        {{"name", "norm"}, {"op", "LayerNormalization"}, {"stage", "head"}, {"median_us", us * 0.3}}};
  }
  json["warnings"] = {"warned of " + label};
  return json;
}

Data full_data() {
  return read_all({full_bench("fp32 (cpu)"),
                   bench_json("PyTorch 2", "pytorch 2", "fp32", {{1, 25}, {8, 32}, {32, 40}}),
                   verify_json("hash-of-fp32 (cpu)", true)});
}

TEST(XmlCheck, FindsFaults) {
  EXPECT_EQ(xml_fault("<a b=\"1\"><c/>x &amp; y</a>"), "");
  for (const char* bad : {"<a>", "<a></b>", "<a b=1/>", "a < b", "a & b", "<a b=\"1\" b=\"2\"/>",
                          "<a id=\"x\"/><a id=\"x\"/>", "</a>"})
    EXPECT_NE(xml_fault(bad), "") << bad;
}

TEST(Report, HtmlIsWellFormedAndNeedsNothingElse) {
  const Report report = build_report(full_data());
  EXPECT_EQ(xml_fault(report.html), "");
  for (const char* forbidden : {"<script", "src=", "href=", "@import", "url("})
    EXPECT_THAT(report.html, Not(HasSubstr(forbidden)));
  for (const char* drawing : {"throughput-title", "memory-title", "latency-1-title", "latency-32-title",
                              "stages-title", "layers-title", "errors-0-title"})
    EXPECT_THAT(report.html, HasSubstr(drawing));
}

TEST(Report, EveryKindOfInputAloneIsWellFormed) {
  for (const auto& data :
       {read_all({full_bench("a")}), read_all({verify_json("h", true)}), read_all({verify_json("h", false)}),
        read_all({bench_json("pt", "pytorch", "fp32", {{1, 3}})}),
        read_all({bench_json("z", "vitrail", "fp32", {{1, 1e-9}, {1000000, 1e9}})}),
        read_all({verify_json("a", true), verify_json("b", true), full_bench("a"), full_bench("b")})}) {
    ASSERT_FALSE(data.runs.empty() && data.verifications.empty());
    const Report report = build_report(data);
    EXPECT_EQ(xml_fault(report.html), "");
    EXPECT_TRUE(nlohmann::json::accept(report.json));
    EXPECT_THAT(report.html, Not(HasSubstr("nan")));
  }
}

TEST(Report, ZerosDoNotBreakTheDrawings) {
  auto json = full_bench("a");
  for (auto& result : json["results"]) {
    for (auto& [key, value] : result.items()) {
      if (value.is_number() && key != "batch") value = 0;
    }
    result["distribution_us"] = std::vector<double>(101, 0.0);
    for (auto& layer : result["layers"]) layer["median_us"] = 0;
  }
  auto verification = verify_json("h", true);
  for (auto& stage : verification["stages"]) stage["max_scaled"] = 0;
  verification["outputs"][0]["max_scaled"] = 0;
  const Report report = build_report(read_all({json, verification}));
  EXPECT_EQ(xml_fault(report.html), "");
  EXPECT_THAT(report.html, Not(testing::ContainsRegex("=\"-?(nan|inf)")));
}

TEST(Report, HostileNamesCannotInject) {
  const std::string evil = "<script>alert(1)</script>\"'&|`\n# x\x01";
  auto bench = full_bench(evil);
  bench["model"] = bench["runner"] = bench["isa"] = bench["timestamp"] = bench["precision"] =
      bench["backend"] = evil;
  bench["runner"] = "vitrail" + evil;
  bench["machine"]["cpu"] = bench["machine"]["kernel"] = evil;
  bench["machine"]["gpu"] = {{"name", evil}, {"driver", evil}};
  for (auto& result : bench["results"])
    for (auto& layer : result["layers"]) layer["stage"] = layer["op"] = evil;
  auto verification = verify_json(evil, false);
  verification["outputs"][0]["name"] = verification["stages"][0]["name"] = evil;
  verification["reference"] = verification["dataset"] = verification["dataset_hash"] = evil;
  verification["failures"] = {evil};
  const Report report = build_report(read_all({bench, bench_json(evil, evil, evil, {{1, 2}}), verification}));
  EXPECT_EQ(xml_fault(report.html), "");
  EXPECT_THAT(report.html, Not(HasSubstr("<script")));
  EXPECT_THAT(report.html, HasSubstr("&lt;script&gt;"));
  EXPECT_THAT(report.markdown, Not(HasSubstr("<script")));
  EXPECT_THAT(report.markdown, Not(HasSubstr("\n# x")));
  EXPECT_THAT(report.text, Not(HasSubstr("\x01")));
  EXPECT_TRUE(nlohmann::json::accept(report.json));
}

TEST(Report, MarkdownTablesHaveEqualColumns) {
  std::istringstream lines(build_report(full_data()).markdown);
  size_t columns = 0;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('|')) {
      columns = 0;
      continue;
    }
    const auto bars = static_cast<size_t>(std::ranges::count(line, '|'));
    if (columns == 0) columns = bars;
    EXPECT_EQ(bars, columns) << line;
  }
}

TEST(Report, JsonHasTheMergedSchema) {
  const auto json = nlohmann::json::parse(build_report(full_data()).json);
  EXPECT_EQ(json["kind"], "report");
  EXPECT_EQ(json["recommendation"]["batch"], 8);
  EXPECT_EQ(json["recommendation"]["verified"], true);
  EXPECT_EQ(json["recommendation"]["gain"]["baseline"], "PyTorch 2");
  EXPECT_EQ(json["recommendation"]["gain"]["throughput_gain"], 3.0);
  EXPECT_EQ(json["runs"].size(), 2u);
  EXPECT_EQ(json["runs"][0]["results"].size(), 3u);
  EXPECT_EQ(json["verifications"][0]["outputs"][0]["name"], "y");
  for (const char* table : {"latency_ms", "throughput", "gains", "memory_mib"})
    EXPECT_TRUE(json["tables"].contains(table)) << table;
  // A report can be read again as a run file.
  Data again;
  EXPECT_TRUE(read_run(json.dump(), "report.json", again).ok());
  EXPECT_EQ(again.runs.size(), 2u);
  EXPECT_EQ(again.verifications.size(), 1u);
}

TEST(Report, TheSameInputGivesTheSameBytes) {
  EXPECT_EQ(build_report(full_data()).html, build_report(full_data()).html);
  EXPECT_EQ(build_report(full_data()).json, build_report(full_data()).json);
}

TEST(Tables, SayWhatWasNotMeasured) {
  const Data data = read_all({bench_json("fp32 (cpu)", "vitrail", "fp32", {{1, 50}, {8, 96}})});
  const Table table = latency_table(data, recommend(data));
  EXPECT_THAT(table.header, ElementsAre("runner", "batch 1", "batch 8"));
  EXPECT_THAT(table.caption, HasSubstr("Batch 16, 32, 64 not measured."));
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_THAT(table.rows[0], ElementsAre("fp32 (cpu)", "20.0", "83.3"));
  EXPECT_THAT(table.rows[1], ElementsAre("PyTorch (original)", "not measured"));
  EXPECT_THAT(table.rows[2], ElementsAre("FP16 engine", "not measured"));
  EXPECT_EQ(table.emphasised_row, 0);
  EXPECT_THAT(gain_table(data, recommend(data)).rows, ElementsAre(ElementsAre("every run", "not measured")));
}

TEST(Tables, GainsAreThoseOfTheProtocol) {
  const Data data = full_data();
  const Table table = gain_table(data, recommend(data));
  EXPECT_THAT(table.rows,
              ElementsAre(ElementsAre("fp32 (cpu)", "2.00× (batch 1)", "2.50× (batch 32)", "0 %", "100.00 %", "1.0000000")));
}

TEST(Tables, WithoutPyTorchGainsAreOverTheFirstEngine) {
  auto half = bench_json("fp16 (cuda)", "vitrail", "fp16", {{1, 25}, {32, 400}});
  half["engine_hash"] = "half";
  half["results"][1]["device_bytes"] = 300 << 20;
  auto full = bench_json("fp32 (cuda)", "vitrail", "fp32", {{1, 50}, {32, 100}});
  full["results"][1]["device_bytes"] = 400 << 20;
  const Data data = read_all({full, half, verify_json("half", true)});
  const Table table = gain_table(data, recommend(data));
  EXPECT_THAT(table.header, ElementsAre("runner", "speed-up (latency)", "throughput gain", "memory reduction",
                                        "top-1 agreement", "cosine"));
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_THAT(table.rows[0], ElementsAre("fp32 (cuda)", "1", "1", "–", "–", "–"));
  EXPECT_EQ(table.rows[1][0], "fp16 (cuda)");
  EXPECT_EQ(table.rows[1][2], "4.00× (batch 32)");
  EXPECT_EQ(table.rows[1][3], "25 %");
  EXPECT_EQ(table.rows[1][5], "1.0000000");
}

TEST(Tables, WhatRanOnADeviceShowsIt) {
  auto gpu = bench_json("fp16 (cuda)", "vitrail", "fp16", {{1, 2000}, {8, 8000}});
  gpu["machine"]["gpu"] = {{"name", "NVIDIA H100"}, {"driver", "580.1"}};
  gpu["results"][0]["device"] = {{"h2d", {{"median_us", 20}}},
                                 {"compute", {{"median_us", 450}}},
                                 {"d2h", {{"median_us", 5}}},
                                 {"images_per_second", 2222}};
  gpu["results"][0]["device_bytes"] = 200 << 20;
  gpu["results"][1]["device"] = nullptr;
  const Data data = read_all({gpu, bench_json("fp32 (cpu)", "vitrail", "fp32", {{1, 50}})});
  const Table table = device_table(data);
  EXPECT_THAT(table.rows, ElementsAre(ElementsAre("fp16 (cuda)", "1", "0.450", "0.0200", "0.00500", "0.500",
                                                  "2,222", "200")));
  EXPECT_THAT(machine_table(data).caption, HasSubstr("Test CPU, 2 cores; NVIDIA H100, driver 580.1."));
  const Report report = build_report(data);
  EXPECT_THAT(report.html, HasSubstr("GPU compute"));
  EXPECT_THAT(report.markdown, HasSubstr("| fp16 (cuda) | 1 | 0.450 |"));
  EXPECT_TRUE(nlohmann::json::parse(report.json)["tables"].contains("device"));
  EXPECT_EQ(xml_fault(report.html), "");
  // Beside a run on the CPU only what both have can be compared.
  EXPECT_THAT(report.html, HasSubstr("peak resident memory, MiB"));
  EXPECT_THAT(report.html, HasSubstr("NVIDIA H100 · Test CPU · 2 cores"));
  const Report alone = build_report(read_all({gpu}));
  EXPECT_THAT(alone.html, HasSubstr("device memory, MiB"));
  EXPECT_THAT(alone.html, HasSubstr("fp16 (cuda), batch 1: 200 MiB"));
  EXPECT_THAT(alone.html, Not(HasSubstr("peak resident memory, MiB")));

  const Report host = build_report(full_data());
  EXPECT_THAT(host.html, Not(HasSubstr("GPU compute")));
  EXPECT_FALSE(nlohmann::json::parse(host.json)["tables"].contains("device"));
}

TEST(ByStage, AddsUpInOrder) {
  const auto stages =
      by_stage({{"a", "X", "one", 1}, {"b", "X", "two", 2}, {"c", "X", "one", 4}, {"d", "Cast", "", 8}});
  ASSERT_EQ(stages.size(), 3u);
  EXPECT_EQ(stages[0].median_us, 5);
  EXPECT_EQ(stages[1].name, "two");
  EXPECT_EQ(stages[2].name, "Cast");
}

TEST(Histogram, SharesTheMass) {
  const auto even = histogram({0, 1, 2, 3, 4}, 0, 4, 2);
  EXPECT_DOUBLE_EQ(even[0], 0.5);
  EXPECT_DOUBLE_EQ(even[1], 0.5);
  const auto steps = histogram({1, 1, 1, 9}, 0, 4, 4);  // two thirds at 1, the last spread over 1 to 9
  EXPECT_DOUBLE_EQ(steps[0], 0);
  EXPECT_DOUBLE_EQ(steps[1], 2.0 / 3 + 1.0 / 24);
  EXPECT_DOUBLE_EQ(steps[3], 1.0 / 24);
  EXPECT_DOUBLE_EQ(histogram({2, 2}, 0, 2, 2)[1], 1);  // the upper edge belongs to the last bin
}

TEST(NiceTicks, AreRoundAndCover) {
  EXPECT_THAT(nice_ticks(0, 7.07, 6), ElementsAre(0, 2, 4, 6, 8));
  EXPECT_THAT(nice_ticks(0, 100, 6), ElementsAre(0, 20, 40, 60, 80, 100));
  EXPECT_THAT(nice_ticks(165.2, 184, 4), ElementsAre(160, 170, 180, 190));
  for (const auto& [low, high] :
       {std::pair{0.0, 0.0}, std::pair{5.0, 5.0}, std::pair{0.0, 1e-9}, std::pair{1e9, 1e9 + 1}}) {
    const auto ticks = nice_ticks(low, high, 5);
    EXPECT_GE(ticks.size(), 2u);
    EXPECT_LE(ticks.size(), 12u);
    EXPECT_LE(ticks.front(), low);
    EXPECT_GE(ticks.back(), high);
  }
}

TEST(Format, Numbers) {
  EXPECT_EQ(number(1234.5), "1,234");  // ties to even
  EXPECT_EQ(number(12.345), "12.3");
  EXPECT_EQ(number(0.12345), "0.123");
  EXPECT_EQ(number(0.0012345), "0.00123");
  EXPECT_EQ(number(1234567), "1,234,567");
  EXPECT_EQ(number(-1234), "-1,234");
  EXPECT_EQ(number(0), "0");
  EXPECT_EQ(number(1.0 / 0.0), "–");
  EXPECT_EQ(tick_text(0), "0");
  EXPECT_EQ(tick_text(2.5), "2.5");
  EXPECT_EQ(tick_text(1500), "1,500");
  EXPECT_EQ(times(2.963), "2.96×");
  EXPECT_EQ(power_of_ten(-12), "10⁻¹²");
}

TEST(Format, ShorteningNeverCutsACharacter) {
  EXPECT_EQ(shortened("ééééééé", 5), "éé…éé");
  EXPECT_EQ(shortened("short", 5), "short");
}

TEST(WriteReport, WritesThreeFilesAndFailsWithoutTraces) {
  const auto folder = std::filesystem::temp_directory_path() / "vitrail_report_write";
  std::filesystem::remove_all(folder);
  const Report report = build_report(full_data());
  ASSERT_TRUE(write_report(report, (folder / "deep" / "er").string()).ok());
  for (const char* name : {"report.json", "report.md", "report.html"})
    EXPECT_GT(std::filesystem::file_size(folder / "deep" / "er" / name), 100u) << name;
  std::ofstream(folder / "file") << "x";
  EXPECT_EQ(write_report(report, (folder / "file" / "x").string()).code(), Code::kIo);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace vitrail::report
