// SPDX-License-Identifier: Apache-2.0
#include "bench/bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "core/cancel.h"
#include "core/error.h"
#include "core/memory_usage.h"

namespace vitrail {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// An engine of two layers, 3 and 1 GFLOP an image, that takes 2 ms an image on a clock of its own.
class Bench : public testing::Test {
 protected:
  void SetUp() override {
    cancel::reset();
    options.clock = [this] { return now; };
    options.batches = {1, 4};
    options.warm_up = 1;
    options.iterations = 10;
    options.peak_gflops = 4000;
    subject.model = "m.onnx";
    subject.engine_hash = "abc";
    subject.backend = "cpu";
    subject.precision = "fp32";
    subject.isa = "avx2";
    subject.runner = "vitrail test";
    subject.layers = {{"qkv", "Linear", "block.0", "gemm", "fp32", {}, 3e9},
                      {"norm", "LayerNormalization", "block.0", "ln", "fp32", {}, 1e9}};
    subject.planned_bytes = [](int64_t batch) { return batch * 1000; };
    subject.prepare = [this](int64_t batch, int) -> Result<BenchSubject::Run> {
      return BenchSubject::Run([this, batch](int, Observer* observer) {
        ++runs;
        if (runs == interrupt_at) cancel::request();
        if (runs == fail_at) return bad_input("layer qkv: NaN");
        now += batch * 2'000'000;
        if (observer && observer->wants_times()) {
          observer->on_layer(0, 1500.0 * static_cast<double>(batch));
          observer->on_layer(1, 500.0 * static_cast<double>(batch));
          observer->on_layer(99, 1.0);  // not a layer of the engine
        }
        return Status();
      });
    };
  }
  void TearDown() override { cancel::reset(); }

  int64_t now = 0;
  int64_t runs = 0, fail_at = -1, interrupt_at = -1;
  BenchSubject subject;
  BenchOptions options;
  BenchReport report;
};

TEST_F(Bench, DerivesEveryFigureFromTheClock) {
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  ASSERT_EQ(report.results.size(), 2u);
  const BenchResult& r = report.results[1];
  EXPECT_EQ(r.batch, 4);
  EXPECT_EQ(r.iterations, 10);
  EXPECT_DOUBLE_EQ(r.latency.mean, 8000);
  EXPECT_DOUBLE_EQ(r.latency.p99, 8000);
  EXPECT_DOUBLE_EQ(r.images_per_second, 500);
  EXPECT_EQ(r.planned_bytes, 4000);
  EXPECT_DOUBLE_EQ(*r.gflops, 2000);  // 500 images/s × 4 GFLOP
  EXPECT_DOUBLE_EQ(*r.peak_fraction, 0.5);
  EXPECT_GT(r.peak_rss_bytes, 1 << 20);
  EXPECT_EQ(r.distribution_us.size(), 10u);
  EXPECT_TRUE(r.layers.empty());
  EXPECT_EQ(report.label, "fp32 (cpu)");
  EXPECT_EQ(runs, 22);
}

TEST_F(Bench, LayersAreTimedInAPassOfTheirOwn) {
  options.layers = true;
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  const BenchResult& r = report.results[1];
  EXPECT_EQ(r.iterations, 10);  // the layer pass is not among them
  ASSERT_EQ(r.layers.size(), 2u);
  EXPECT_EQ(r.layers[0].name, "qkv");
  EXPECT_DOUBLE_EQ(r.layers[0].median_us, 6000);
  EXPECT_DOUBLE_EQ(r.layers[0].share, 0.75);
  EXPECT_DOUBLE_EQ(r.layers[0].gflops, 2000);   // 3 GFLOP × 4 images in 6 ms
  EXPECT_EQ(r.layers[0].gbytes_per_second, 0);  // nobody said how many bytes
  EXPECT_THAT(layer_table(r), HasSubstr("qkv"));
  EXPECT_THAT(layer_table(r), Not(HasSubstr("cuBLAS")));
  EXPECT_THAT(layer_table(r, 1), HasSubstr("and 1 more"));
}

TEST_F(Bench, LayersAreHeldAgainstTheirBytesAndTheVendorsLibrary) {
  options.layers = true;
  subject.layer_bytes = [](int64_t batch) {
    return std::vector<double>{3e6 * static_cast<double>(batch), 0};
  };
  subject.library_us = [](int64_t) -> Result<std::vector<double>> { return std::vector<double>{4500, 0}; };
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  const BenchResult& r = report.results[1];
  ASSERT_EQ(r.layers.size(), 2u);
  EXPECT_DOUBLE_EQ(r.layers[0].gbytes_per_second, 2);  // 12 MB in 6 ms
  EXPECT_DOUBLE_EQ(r.layers[0].of_library, 0.75);
  EXPECT_EQ(r.layers[1].of_library, 0);
  EXPECT_THAT(layer_table(r), HasSubstr("75 %"));
  EXPECT_THAT(layer_table(r), HasSubstr("of cuBLAS"));
  subject.library_us = [](int64_t) -> Result<std::vector<double>> { return unavailable("no memory"); };
  EXPECT_FALSE(run_bench(subject, options, report).ok());
}

TEST_F(Bench, TheTimeLimitIsForTheWholeRunAndSaid) {
  options.iterations = 1000;
  options.max_seconds = 0.2;
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  EXPECT_LE(now, 220'000'000);
  EXPECT_GE(now, 190'000'000);
  for (const BenchResult& r : report.results) {
    EXPECT_TRUE(r.shortened);
    EXPECT_GT(r.iterations, 5);
  }
  EXPECT_THAT(report.warnings, Contains(HasSubstr("of 1000 iterations")));
  EXPECT_THAT(to_table(report), HasSubstr("(shortened)"));
}

TEST_F(Bench, TimeThatAQuickConfigurationLeavesGoesToTheNext) {
  options.iterations = 20;  // batch 1 needs 42 ms of its 150, so batch 4 gets 258 and needs 168
  options.max_seconds = 0.3;
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  EXPECT_FALSE(report.results[1].shortened);
}

TEST_F(Bench, AnInterruptionKeepsPartialResults) {
  interrupt_at = 11 + 1 + 3;  // the third timed batch of the second configuration
  EXPECT_EQ(run_bench(subject, options, report).code(), Code::kCancelled);
  EXPECT_TRUE(report.cancelled);
  ASSERT_EQ(report.results.size(), 2u);
  EXPECT_EQ(report.results[1].iterations, 3);
  EXPECT_TRUE(to_json(report)["cancelled"]);
}

TEST_F(Bench, AFailureNamesTheBatchAndKeepsTheOthers) {
  fail_at = 12;
  const Status status = run_bench(subject, options, report);
  EXPECT_EQ(status.code(), Code::kBadInput);
  EXPECT_EQ(status.message(), "batch 4: layer qkv: NaN");
  EXPECT_EQ(report.results.size(), 1u);
}

TEST_F(Bench, WarnsOfSpreadTooFewIterationsAndTooManyThreads) {
  options.threads = 100'000;
  options.batches = {1};
  subject.prepare = [this](int64_t, int) -> Result<BenchSubject::Run> {
    return BenchSubject::Run([this](int, Observer*) {
      now += ++runs % 2 ? 1'000'000 : 2'000'000;
      return Status();
    });
  };
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  EXPECT_THAT(report.warnings, Contains(HasSubstr("spread by 33.3 %")));
  EXPECT_THAT(report.warnings, Contains(HasSubstr("too few for a p99")));
  EXPECT_THAT(report.warnings, Contains(HasSubstr("100000 threads")));
}

TEST_F(Bench, UnknownFlopsAndPeakAreNullNotZero) {
  subject.layers.clear();
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  EXPECT_TRUE(to_json(report)["results"][0]["gflops"].is_null());
  EXPECT_TRUE(to_json(report)["results"][0]["peak_fraction"].is_null());
}

TEST_F(Bench, LayersInBytesAreHeldAgainstThePeakOfBytes) {
  subject.layers[0].precision = "int8";
  options.peak_gflops = 1000;
  options.peak_int8_gflops = 6000;
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  // 3 GFLOP at 6000 and 1 at 1000 are 1.5 of the 2 ms; against 1000 alone it would be 200 %.
  EXPECT_DOUBLE_EQ(*report.results[0].peak_fraction, 0.75);
  EXPECT_DOUBLE_EQ(to_json(report)["peak_int8_gflops"].get<double>(), 6000);
  EXPECT_THAT(report.warnings, Not(Contains(HasSubstr("peak"))));

  options.peak_int8_gflops.reset();
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  EXPECT_FALSE(report.results[0].peak_fraction);
}

TEST_F(Bench, NonsenseIsAUsageError) {
  options.batches = {};
  EXPECT_EQ(run_bench(subject, options, report).code(), Code::kUsage);
  options.batches = {1, 0};
  EXPECT_EQ(run_bench(subject, options, report).code(), Code::kUsage);
  EXPECT_EQ(runs, 0);
}

TEST_F(Bench, JsonHasTheKeysThatOthersBuildOn) {
  options.layers = true;
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  const auto json = to_json(report);
  for (const char* key : {"model", "engine_hash", "backend", "precision", "isa", "machine", "timestamp",
                          "peak_gflops", "peak_int8_gflops", "results", "warnings", "label", "runner", "kind", "schema"})
    EXPECT_TRUE(json.contains(key)) << key;
  for (const char* key : {"cpu", "cores", "isa_flags", "memory_bytes", "kernel", "governor"})
    EXPECT_TRUE(json["machine"].contains(key)) << key;
  for (const char* key :
       {"batch",         "streams", "threads",       "mean_us",    "median_us",         "p90_us",
        "p95_us",        "p99_us",  "min_us",        "max_us",     "images_per_second", "peak_rss_bytes",
        "planned_bytes", "gflops",  "peak_fraction", "iterations", "warm_up",           "cv",
        "shortened",     "layers"})
    EXPECT_TRUE(json["results"][0].contains(key)) << key;
  EXPECT_EQ(json["results"][1]["batch"], 4);
  EXPECT_EQ(json["results"][1]["mean_us"], 8000);
  for (const char* key : {"name", "op", "stage", "kernel", "precision", "median_us", "share", "gflops"})
    EXPECT_TRUE(json["results"][0]["layers"][0].contains(key)) << key;
}

TEST_F(Bench, JsonTextSurvivesANameThatIsNotUtf8) {
  subject.model = "\xff\xfe.onnx";
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  EXPECT_TRUE(nlohmann::json::accept(to_json_text(report)));
}

TEST_F(Bench, ExportedTimesHaveTheKeysOfTrtexec) {
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  const auto rows = export_times(report);
  ASSERT_EQ(rows.size(), 20u);
  for (const char* key :
       {"startEnqMs", "endEnqMs", "startH2dMs", "endH2dMs", "startComputeMs", "endComputeMs", "startD2hMs",
        "endD2hMs", "h2dMs", "computeMs", "d2hMs", "latencyMs"})
    EXPECT_TRUE(rows[0].contains(key)) << key;
  EXPECT_EQ(rows[0]["startComputeMs"], 0.0);
  EXPECT_EQ(rows[1]["startComputeMs"], 2.0);
  EXPECT_EQ(rows[19]["latencyMs"], 8.0);
  EXPECT_EQ(rows[19]["h2dMs"], 0.0);
}

TEST_F(Bench, OnAHostTheFiguresOfADeviceAreNull) {
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  const auto json = to_json(report)["results"][0];
  EXPECT_TRUE(json["device"].is_null());
  EXPECT_TRUE(json["device_bytes"].is_null());
  EXPECT_TRUE(to_json(report)["machine"]["gpu"].is_null());
  EXPECT_THAT(to_table(report), Not(HasSubstr("GPU")));
  EXPECT_THAT(summary_lines(report.results[0]), Not(HasSubstr("H2D")));
}

TEST_F(Bench, DeviceTimesBecomeFiguresRowsAndSummaryLines) {
  // Of 2 ms an image: half a millisecond there, 1.25 of computing, a quarter back.
  subject.device_times = [this](int) {
    const double images = runs <= 11 ? 1 : 4;
    return std::optional(DeviceTimes{500 * images, 1250 * images, 250 * images});
  };
  subject.device_bytes = [] { return int64_t{3} << 20; };
  subject.gpu = DeviceInfo{"NVIDIA H100", "9.0", "580.1", "13.1", "13.0", 132, int64_t{80} << 30};
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  const BenchResult& r = report.results[1];
  ASSERT_TRUE(r.device);
  EXPECT_DOUBLE_EQ(r.device->h2d.median, 2000);
  EXPECT_DOUBLE_EQ(r.device->compute.median, 5000);
  EXPECT_EQ(r.device->d2h.count, 10);  // warm-up batches are not among them
  EXPECT_DOUBLE_EQ(r.device->images_per_second, 800);
  const auto json = to_json(report)["results"][1];
  EXPECT_EQ(json["device"]["compute"]["median_us"], 5000);
  EXPECT_EQ(json["device"]["images_per_second"], 800);
  EXPECT_EQ(json["device_bytes"], 3 << 20);
  const auto row = export_times(report)[10];  // the first of batch 4; 8 ms
  EXPECT_EQ(row["h2dMs"], 2.0);
  EXPECT_EQ(row["computeMs"], 5.0);
  EXPECT_EQ(row["d2hMs"], 1.0);
  EXPECT_EQ(row["endComputeMs"], row["startD2hMs"]);
  EXPECT_DOUBLE_EQ(row["endComputeMs"].get<double>() - row["startComputeMs"].get<double>(), 5.0);
  const auto gpu = to_json(report)["machine"]["gpu"];
  EXPECT_EQ(gpu["name"], "NVIDIA H100");
  EXPECT_EQ(gpu["driver"], "580.1");
  EXPECT_EQ(gpu["driver_cuda"], "13.1");
  EXPECT_EQ(gpu["runtime_cuda"], "13.0");
  EXPECT_EQ(gpu["memory_mib"], 80 << 10);
  const std::string table = to_table(report);
  EXPECT_THAT(table, HasSubstr(" · NVIDIA H100, driver 580.1, CUDA 13.0 · "));
  EXPECT_THAT(table, HasSubstr("GPU compute ms"));
  EXPECT_THAT(table, HasSubstr("800.0"));
  EXPECT_THAT(table, HasSubstr("device MiB"));
  const std::string lines = summary_lines(r);
  EXPECT_THAT(lines,
              HasSubstr("H2D Latency: min = 2.000 ms, max = 2.000 ms, mean = 2.000 ms, median = 2.000 ms"));
  EXPECT_THAT(lines, HasSubstr("GPU Compute Time: min = 5.000 ms"));
  EXPECT_THAT(lines, HasSubstr("D2H Latency: min = 1.000 ms"));
  EXPECT_THAT(report.warnings, Not(Contains(HasSubstr("copying"))));
}

TEST_F(Bench, WarnsWhenCopyingTakesAsLongAsComputing) {
  subject.device_times = [](int) { return std::optional(DeviceTimes{900, 800, 100}); };
  ASSERT_TRUE(run_bench(subject, options, report).ok());
  EXPECT_THAT(report.warnings, Contains(HasSubstr("--input uint8")));
}

TEST(MemoryUsage, ThePeakRisesWithTouchedPagesAndFallsWithAReset) {
  if (!reset_peak_rss()) GTEST_SKIP() << "/proc/self/clear_refs is not writable here";
  const int64_t before = peak_rss_bytes();
  // Mapped by hand: an allocator may keep what is freed.
  constexpr size_t kBytes = 64 << 20;
  void* block = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(block, MAP_FAILED);
  std::memset(block, 1, kBytes);
  ASSERT_EQ(munmap(block, kBytes), 0);
  EXPECT_GE(peak_rss_bytes(), before + (60 << 20));
  ASSERT_TRUE(reset_peak_rss());
  EXPECT_LT(peak_rss_bytes(), before + (30 << 20));
}

TEST(ThisMachine, KnowsItself) {
  const Machine machine = this_machine();
  EXPECT_GE(machine.cores, 1);
  EXPECT_GT(machine.memory_bytes, 1 << 20);
  EXPECT_THAT(machine.kernel, HasSubstr("Linux"));
  EXPECT_EQ(utc_timestamp().size(), 20u);
}

TEST_F(Bench, SubjectsTakeTurnsAndKeepTheirOwnTimes) {
  std::string order;
  BenchSubject slow = subject;
  slow.precision = "int8";
  const auto logging = [&](char name, int64_t factor) {
    return [this, &order, name, factor](int64_t batch, int) -> Result<BenchSubject::Run> {
      return BenchSubject::Run([this, &order, name, factor, batch](int, Observer*) {
        if (++runs == fail_at) return bad_input("layer qkv: NaN");
        order += name;
        now += factor * batch * 1'000'000;
        return Status();
      });
    };
  };
  subject.prepare = logging('a', 2);
  slow.prepare = logging('b', 4);
  const std::vector<BenchSubject> both{subject, slow};
  options.batches = {1};
  options.warm_up = 2;
  options.iterations = 5;
  std::vector<BenchReport> reports;
  ASSERT_TRUE(run_bench_in_turns(both, options, 2, reports).ok());
  // Two to warm up, two of five; then the other way round, one to warm up, three of five.
  EXPECT_EQ(order, "aaaabbbbbbbbaaaa");
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(reports[1].precision, "int8");
  for (const auto& [i, us] : {std::pair{0u, 2000.0}, {1u, 4000.0}}) {
    ASSERT_EQ(reports[i].results.size(), 1u);
    const BenchResult& r = reports[i].results[0];
    EXPECT_EQ(r.iterations, 5);
    EXPECT_EQ(r.warm_up, 3);
    EXPECT_DOUBLE_EQ(r.latency.median, us);
    EXPECT_DOUBLE_EQ(r.images_per_second, 1e6 / us);  // the other's turns are not counted
  }

  runs = 0;
  fail_at = 11;
  options.batches = {1, 4};
  const Status failed = run_bench_in_turns(both, options, 2, reports);
  EXPECT_EQ(failed.code(), Code::kBadInput);
  EXPECT_THAT(failed.message(), HasSubstr("batch 1"));
  EXPECT_EQ(reports[0].results.at(0).iterations, 2);
  EXPECT_EQ(run_bench_in_turns(both, options, 0, reports).code(), Code::kUsage);
}

}  // namespace
}  // namespace vitrail
