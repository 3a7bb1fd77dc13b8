// SPDX-License-Identifier: Apache-2.0
#include "workflow/optimize.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/bench_flags.h"
#include "cli/common.h"
#include "cli/layers.h"
#include "cli/plan_flags.h"
#include "cli/python.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "workflow/open.h"

namespace vitrail::cli {
namespace {

struct OptimizeFlags {
  std::string model, folder, pytorch, workspace = "1GiB";
  OptimizeOptions options;
  std::vector<std::string> profiles;
  ModelFlags model_flags;
  BackendFlags backend_flags;
  PlanFlags plan_flags;
  BenchFlags bench;
  bool json = false;
};

// Before the engines, in a process of its own; its result goes into the report's first row.
Status measure_pytorch(const OptimizeFlags& flags, OptimizeOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(flags.folder, error);
  if (error) return io_error("{}: {}", flags.folder, error.message());
  const std::string file = (std::filesystem::path(flags.folder) / "pytorch.json").string();
  const bool host = runs_on_host(options.build.backend);
  std::vector<std::string> words{"measure", flags.pytorch, "-o", file,
                                 "--name", std::filesystem::path(flags.model).filename().string(),
                                 "--batch", fmt::format("{}", fmt::join(options.bench.batches, ",")),
                                 "--warm-up", std::to_string(options.bench.warm_up),
                                 "--iterations", std::to_string(options.bench.iterations),
                                 "--threads", std::to_string(options.bench.threads),
                                 "--device", host ? "cpu" : "auto"};
  if (options.bench.max_seconds) words.insert(words.end(), {"--max-seconds", fmt::format("{}", *options.bench.max_seconds)});
  VTL_TRY(run_python(words));
  options.peers.insert(options.peers.begin(), file);
  return {};
}

Status run_optimize(const OptimizeFlags& flags) {
  OptimizeOptions options = flags.options;
  VTL_ASSIGN(options.bench, flags.bench.options());
  flags.backend_flags.apply(options.build);
  if (flags.backend_flags.precisions.size() > 1) options.precisions = flags.backend_flags.precisions;
  for (const std::string& p : options.precisions)
    if (std::ranges::count(options.precisions, p) > 1) return usage_error("--precision names {} twice", p);
  VTL_TRY(flags.plan_flags.apply(options.build));
  VTL_ASSIGN(options.build.model, flags.model_flags.options());
  VTL_ASSIGN(options.build.workspace_bytes, parse_bytes(flags.workspace));
  for (const std::string& text : flags.profiles) {
    VTL_ASSIGN(const Profile profile, parse_profile(text));
    options.build.profiles.push_back(profile);
  }
  options.build.threads = options.bench.threads;
  options.build.progress = progress_bar(flags.json);
  if (!flags.pytorch.empty()) VTL_TRY(measure_pytorch(flags, options));
  OptimizeOutcome outcome;
  const Status status = optimize(flags.model, flags.folder, options, outcome);
  for (const std::string& w : outcome.warnings) warn(w);
  const bool several = outcome.engines.size() > 1;
  for (const OptimizedEngine& e : outcome.engines)
    for (const std::string& w : e.build.warnings) warn(several ? e.precision + ": " + w : w);
  if (flags.json) {
    if (!outcome.report.json.empty()) print(outcome.report.json);
    return status;
  }
  for (const OptimizedEngine& e : outcome.engines) {
    if (several) print(fmt::format("\n=== {} ===\n", e.precision));
    if (!e.status.ok()) print(e.status.message() + "\n");
    if (!e.build.hash.empty()) print(plan_text(e.build.plan, e.build.max_batch, options.bench.threads));
    if (!e.verify.outputs.empty()) print("\n" + to_table(e.verify));
    if (!e.bench.results.empty()) print("\n" + to_table(e.bench));
  }
  if (!outcome.report.text.empty()) print("\n" + outcome.report.text);
  for (const OptimizedEngine& e : outcome.engines)
    if (!e.build.hash.empty()) print(fmt::format("Engine {} (hash {})\n", e.path, e.build.hash));
  if (!outcome.report.text.empty())
    print(fmt::format("Report {0}/report.html, report.md, report.json\n", flags.folder));
  return status;
}

}  // namespace

void add_optimize(CLI::App& app, Action& action) {
  auto flags = std::make_shared<OptimizeFlags>();
  CLI::App* verb = app.add_subcommand("optimize", "Build, verify, certify, benchmark and report in one go");
  verb->add_option("MODEL", flags->model, "ONNX file, or safetensors: file, index or folder")->required();
  verb->add_option("--images", flags->options.images, "Folder of images to verify on, searched recursively")
      ->required();
  verb->add_option("-o,--output", flags->folder, "Folder for the engine, the results and the report")
      ->required();
  flags->backend_flags.add(*verb, true);
  flags->plan_flags.add(*verb);
  verb->add_flag("--drop-fake-quantization", flags->options.build.fuse.drop_fake_quantization,
                 "Quantized models: leave out the rounding around float layers, so that they fuse");
  verb->add_option("--profile", flags->profiles, "Batch sizes MIN:OPT:MAX, may be repeated (default 1:8:64)");
  verb->add_option("--workspace", flags->workspace, "Hard cap on memory beyond the weights")
      ->capture_default_str();
  verb->add_option("--samples", flags->options.verify_samples,
                   "Verify on at most so many images (default: all)")
      ->check(CLI::PositiveNumber);
  verb->add_option("--pytorch", flags->pytorch,
                   "The original model, measured in PyTorch first: timm:NAME, hf:NAME_OR_DIR, torchvision:NAME or file.py:factory");
  verb->add_option("--peers", flags->options.peers, "Results of benchmarks/peers.py to put into the report");
  flags->model_flags.add(*verb);
  flags->bench.add(*verb);
  verb->add_flag("--json", flags->json, "Print report.json");
  verb->callback([flags, &action] { action = [flags] { return run_optimize(*flags); }; });
}

}  // namespace vitrail::cli
