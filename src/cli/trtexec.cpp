// SPDX-License-Identifier: Apache-2.0
// `vitrail trtexec --onnx=… --fp16 …`: trtexec's command line for any backend.
#include "bench/trtexec.h"

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/layers.h"
#include "cli/trtexec_words.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "core/files.h"
#include "core/thread_pool.h"
#include "workflow/build.h"
#include "workflow/measure.h"

namespace vitrail::cli {
namespace {

constexpr const char* kWords =
    "Words: --onnx=F --loadEngine=F --saveEngine=F --backend=cpu|cuda|tensorrt --minShapes=IN:1x3x224x224 "
    "--optShapes= --maxShapes= "
    "--profile=N --shapes= --fp16 --bf16 --int8 --fp8 --best --noTF32 --memPoolSize=workspace:MiB "
    "--timingCacheFile=F --calib=F "
    "--builderOptimizationLevel=N --versionCompatible --hardwareCompatibilityLevel=L --stripWeights --refit "
    "--iterations=N --warmUp=ms "
    "--duration=s --idleTime=ms --infStreams=N --percentile=90,95,99 --exportTimes=F --exportProfile=F --exportLayerInfo=F "
    "--dumpProfile "
    "--dumpLayerInfo --buildOnly";

// A .vtl is kept where --saveEngine says so, else it lives as long as the run. A bare plan is written where
// the name does not end in .vtl.
struct EnginePath {
  std::string path, plan;
  bool temporary = false;
  ~EnginePath() {
    std::error_code error;
    if (temporary) std::filesystem::remove(path, error);
  }
};

Status build(const TrtexecWords& words, EnginePath& engine) {
  engine.path = words.save_engine;
  if (!words.save_engine.ends_with(".vtl")) {
    if (!words.save_engine.empty() && words.backend != "tensorrt")
      return usage_error(
          "--saveEngine={}: only the tensorrt backend has a bare plan; give a name that ends in .vtl",
          words.save_engine);
    engine.plan = words.save_engine;
    engine.path =
        (std::filesystem::temp_directory_path() / fmt::format("vitrail-trtexec-{}.vtl", ::getpid())).string();
    engine.temporary = true;
  }
  BuildOptions options;
  options.backend = words.backend;
  // The host's backends have one floating type.
  const bool host = words.backend == "cpu" || words.backend == "reference";
  options.precision = host && words.precision == "tf32" ? "fp32" : words.precision;
  options.profiles = words.profiles;
  options.workspace_bytes = words.workspace_bytes;
  options.timing_cache = words.timing_cache;
  options.plan = words.plan;
  options.plan.save_plan = engine.plan;
  options.threads = available_cores();
  options.progress = progress_bar(false);
  VTL_ASSIGN(const BuildOutcome outcome, build_engine(words.onnx, engine.path, options));
  for (const std::string& w : outcome.warnings) warn(w);
  print(fmt::format("Engine built for {} in {}, {}\n", words.backend, options.precision,
                    human_bytes(outcome.file_bytes)));
  return {};
}

Status show_layers(const TrtexecWords& words, const std::string& path) {
  if (!words.dump_layers && words.export_layers.empty()) return {};
  VTL_ASSIGN(const Engine engine, load_engine(path));
  if (words.dump_layers) print("=== Layer information ===\n" + layer_table(engine.info.layers, false));
  if (words.export_layers.empty()) return {};
  return write_file_atomically(
      words.export_layers,
      nlohmann::ordered_json{{"Layers", layers_json(engine.info.layers)}}.dump(2) + "\n");
}

// At least `iterations` batches and at least `duration`, as trtexec has it.
Status measure(const TrtexecWords& words, const std::string& path, BenchReport& report) {
  MeasureOptions options;
  options.bench.batches = {words.batch};
  options.bench.streams = words.streams;
  options.bench.idle_ms = words.idle_ms;
  options.bench.threads = std::max(1, available_cores() / words.streams);
  options.bench.layers = words.dump_profile || !words.export_profile.empty();
  options.bench.warm_up = words.warm_up_ms > 0 ? 1'000'000 : 0;
  options.bench.iterations = std::min<int64_t>(1'000'000, kMaxSamples / words.streams);
  options.bench.warm_up_seconds = words.warm_up_ms * 1e-3;
  options.bench.max_seconds = std::max(words.duration_s, 0.01);
  if (words.duration_s > 0) {
    VTL_TRY(measure_engine(path, options, report));
    if (!report.results.empty() && report.results[0].iterations >= words.iterations * words.streams)
      return {};
  }
  report = BenchReport();
  options.bench.iterations = words.iterations;
  options.bench.warm_up = words.warm_up_ms > 0 ? 1 : 0;
  options.bench.max_seconds.reset();
  options.bench.warm_up_seconds.reset();
  return measure_engine(path, options, report);
}

Status trtexec(const std::vector<std::string>& arguments) {
  VTL_ASSIGN(const TrtexecWords words, parse_trtexec(arguments));
  for (const std::string& note : words.notes) warn(note);
  EnginePath engine;
  if (words.onnx.empty())
    engine.path = words.load_engine;
  else
    VTL_TRY(build(words, engine));
  VTL_TRY(show_layers(words, engine.path));
  if (words.build_only) return {};
  BenchReport report;
  VTL_TRY(measure(words, engine.path, report));
  for (const BenchResult& result : report.results) {
    print("\n" + trtexec_summary(result, words.percentiles));
    if (words.dump_profile) print("\n=== Profile ===\n" + layer_table(result, result.layers.size()));
    if (!words.export_profile.empty())
      VTL_TRY(write_file_atomically(words.export_profile, trtexec_profile(result).dump(2) + "\n"));
  }
  if (!words.export_times.empty())
    VTL_TRY(write_file_atomically(words.export_times, export_times(report).dump() + "\n"));
  print(fmt::format("\n&&&& PASSED vitrail trtexec # {}\n",
                    words.onnx.empty() ? words.load_engine : words.onnx));
  return {};
}

}  // namespace

void add_trtexec(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("trtexec", "trtexec's words and summary, for any backend");
  verb->footer(kWords);
  verb->allow_extras();
  verb->callback([verb, &action] {
    const std::vector<std::string> words = verb->remaining();
    action = [words] { return trtexec(words); };
  });
}

}  // namespace vitrail::cli
