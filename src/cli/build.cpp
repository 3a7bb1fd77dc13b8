// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/layers.h"
#include "cli/plan_flags.h"
#include "cli/verbs.h"
#include "core/clock.h"
#include "core/error.h"

namespace vitrail::cli {
namespace {

struct BuildFlags {
  std::string model, output, workspace = "1GiB";
  std::vector<std::string> profiles;
  ModelFlags model_flags;
  BackendFlags backend_flags;
  PlanFlags plan_flags;
  ThreadFlag threads;
  bool drop_fake_quantization = false;
  bool json = false;
};

Status build(const BuildFlags& flags) {
  const int64_t start = steady_nanoseconds();
  BuildOptions options;
  VTL_ASSIGN(options.model, flags.model_flags.options());
  VTL_ASSIGN(options.threads, flags.threads.value());
  VTL_ASSIGN(options.workspace_bytes, parse_bytes(flags.workspace));
  for (const std::string& text : flags.profiles) {
    VTL_ASSIGN(const Profile profile, parse_profile(text));
    options.profiles.push_back(profile);
  }
  flags.backend_flags.apply(options);
  VTL_TRY(flags.plan_flags.apply(options));
  options.fuse.drop_fake_quantization = flags.drop_fake_quantization;
  options.progress = progress_bar(flags.json);
  VTL_ASSIGN(const BuildOutcome outcome, build_engine(flags.model, flags.output, options));
  const double seconds = static_cast<double>(steady_nanoseconds() - start) * 1e-9;
  for (const std::string& w : outcome.warnings) warn(w);

  if (flags.json) {
    auto profiles = nlohmann::ordered_json::array();
    for (const Profile& p : outcome.info.profiles)
      profiles.push_back({{"min", p.min}, {"opt", p.opt}, {"max", p.max}});
    nlohmann::ordered_json json = engine_json(flags.output, outcome, seconds);
    json.update({{"profiles", profiles},
                 {"memory_plan", plan_json(outcome.plan, outcome.max_batch)},
                 {"layers", layers_json(outcome.info.layers)},
                 {"warnings", outcome.warnings}});
    print_json(json);
    return {};
  }
  print(layer_table(outcome.info.layers, false) + "\n");
  print(plan_text(outcome.plan, outcome.max_batch, options.threads));
  print(fmt::format("Engine {} ({}, {}), built in {:.2f} s\nHash {}\n", flags.output,
                    human_bytes(outcome.file_bytes), outcome.info.precision, seconds, outcome.hash));
  return {};
}

}  // namespace

void add_build(CLI::App& app, Action& action) {
  auto flags = std::make_shared<BuildFlags>();
  CLI::App* verb = app.add_subcommand("build", "Compile a model into an engine file");
  verb->add_option("MODEL", flags->model, "ONNX file, or safetensors: file, index or folder")->required();
  verb->add_option("-o,--output", flags->output, "Engine file to write (.vtl)")->required();
  flags->backend_flags.add(*verb);
  flags->plan_flags.add(*verb);
  verb->add_option("--save-engine", flags->plan_flags.plan.save_plan,
                   "tensorrt: write the bare plan to this file too, for trtexec and Triton");
  verb->add_option("--load-engine", flags->plan_flags.plan.load_plan,
                   "tensorrt: take this bare plan of the model, made elsewhere, instead of building one; --profile as it was built");
  verb->add_flag("--drop-fake-quantization", flags->drop_fake_quantization,
                 "Quantized models: leave out the rounding around float layers, so that they fuse");
  verb->add_option("--profile", flags->profiles, "Batch sizes MIN:OPT:MAX, may be repeated (default 1:8:64)");
  verb->add_option("--workspace", flags->workspace, "Hard cap on memory beyond the weights")
      ->capture_default_str();
  flags->model_flags.add(*verb);
  flags->threads.add(*verb);
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags, &action] { action = [flags] { return build(*flags); }; });
}

}  // namespace vitrail::cli
