// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "workflow/check.h"

namespace vitrail::cli {
namespace {

struct VerifyFlags {
  std::string engine, reference;
  CheckOptions check;
  ModelFlags model;
  ThreadFlag threads;
  bool certify = false, json = false;
};

Status run_verify(const VerifyFlags& flags) {
  CheckOptions options = flags.check;
  if (int{!options.images.empty()} + int{!options.inputs.empty()} + int{options.random > 0} != 1)
    return usage_error("verify needs one of --images DIR, --inputs DIR or --random N");
  VTL_ASSIGN(options.model, flags.model.options());
  VTL_ASSIGN(options.threads, flags.threads.value());
  options.progress = sample_progress(flags.json, "verify");
  VTL_ASSIGN(const VerifyReport report, check_engine(flags.engine, flags.reference, options));
  if (flags.json)
    print_json(to_json(report));
  else
    print(to_table(report));
  if (!report.passed)
    return check_failed("{} is out of tolerance: {}", flags.engine,
                        report.failures.empty() ? "" : report.failures[0]);
  if (!flags.certify) return {};
  VTL_TRY(write_certificate(flags.engine, to_json_text(report)));
  if (!flags.json) print(fmt::format("Certificate written into {}\n", flags.engine));
  return {};
}

}  // namespace

void add_verify(CLI::App& app, Action& action) {
  auto flags = std::make_shared<VerifyFlags>();
  CLI::App* verb = app.add_subcommand("verify", "Compare an engine with its model on the reference backend");
  verb->add_option("ENGINE", flags->engine, "Engine file (.vtl)")->required();
  verb->add_option("--reference", flags->reference,
                   "The model that it was built from, or the float model of a quantized one (ONNX or safetensors)")->required();
  verb->add_option("--images", flags->check.images, "Folder of images, searched recursively");
  verb->add_option("--inputs", flags->check.inputs, "Folder of .npy and .npz files");
  verb->add_option("--random", flags->check.random, "Number of random inputs")->check(CLI::PositiveNumber);
  verb->add_option("--samples", flags->check.max_samples, "At most so many, evenly spread (default: all)")
      ->check(CLI::PositiveNumber);
  verb->add_option("--max-scaled-error", flags->check.tolerance.max_scaled,
                   "Largest |error| / largest |output|")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--min-cosine", flags->check.tolerance.min_cosine, "Least cosine of a sample")
      ->capture_default_str();
  verb->add_option("--min-top1", flags->check.tolerance.min_top1, "Least share of equal top-1 answers")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  verb->add_option("--batch", flags->check.batches, "Batch sizes to run the engine at")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  verb->add_option("--isa", flags->check.isa,
                   "scalar, avx2, avxvnni, avx512, avx512vnni or avx512amx (default: the best here)");
  flags->model.add(*verb);
  flags->threads.add(*verb);
  verb->add_flag("--certify", flags->certify, "Write the outcome into the engine when it passed");
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags, &action] { action = [flags] { return run_verify(*flags); }; });
}

}  // namespace vitrail::cli
