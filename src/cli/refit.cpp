// SPDX-License-Identifier: Apache-2.0
#include "workflow/refit.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/verbs.h"
#include "core/clock.h"

namespace vitrail::cli {
namespace {

struct RefitFlags {
  std::string engine, weights, output;
  RefitOptions options;
  ThreadFlag threads;
  bool json = false;
};

Status refit(const RefitFlags& flags) {
  const int64_t start = steady_nanoseconds();
  RefitOptions options = flags.options;
  VTL_ASSIGN(options.threads, flags.threads.value());
  options.progress = progress_bar(flags.json);
  VTL_ASSIGN(const BuildOutcome outcome, refit_engine(flags.engine, flags.weights, flags.output, options));
  const double seconds = static_cast<double>(steady_nanoseconds() - start) * 1e-9;
  for (const std::string& w : outcome.warnings) warn(w);
  if (flags.json) {
    nlohmann::ordered_json json = engine_json(flags.output, outcome, seconds);
    json.update({{"model", outcome.info.model_name}, {"certified", false}, {"warnings", outcome.warnings}});
    print_json(json);
    return {};
  }
  print(fmt::format("Engine {} ({}, {}) with the weights of {}, in {:.2f} s\nHash {}\n", flags.output,
                    human_bytes(outcome.file_bytes), outcome.info.precision, outcome.info.model_name, seconds,
                    outcome.hash));
  print(fmt::format("It is not certified: run `vitrail verify {} --reference {} --images FOLDER --certify`\n",
                    flags.output, flags.weights));
  return {};
}

}  // namespace

void add_refit(CLI::App& app, Action& action) {
  auto flags = std::make_shared<RefitFlags>();
  CLI::App* verb = app.add_subcommand("refit", "Put new weights of the same architecture into an engine");
  verb->add_option("ENGINE", flags->engine, "Engine file (.vtl); of tensorrt one that was built with --refit or --strip-weights")
      ->required();
  verb->add_option("--weights", flags->weights, "Model that has them: ONNX file, or safetensors: file, index or folder")
      ->required();
  verb->add_option("-o,--output", flags->output, "Engine file to write (.vtl); may be ENGINE")->required();
  verb->add_option("--preprocess", flags->options.preprocess_file,
                   "JSON file (default: the model's own, else the engine's)");
  verb->add_option("--labels", flags->options.labels_file, "Class names, one a line (default: the model's own, else the engine's)");
  flags->threads.add(*verb);
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags, &action] { action = [flags] { return refit(*flags); }; });
}

}  // namespace vitrail::cli
