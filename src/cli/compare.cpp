// SPDX-License-Identifier: Apache-2.0
#include "workflow/compare.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "core/text_table.h"

namespace vitrail::cli {
namespace {

struct CompareFlags {
  std::string reference;
  std::vector<std::string> candidates;
  CompareOptions options;
  ModelFlags model_flags;
  ThreadFlag threads;
  bool json = false;
};

std::string percent(const std::optional<double>& share) { return share ? fmt::format("{:.2f} %", *share * 100) : "–"; }

std::string to_text(const Comparison& c) {
  TextTable table({"model", "size", "int8 products", "same top-1", "cosine", "least cosine", "correlation", "accuracy", "points"});
  const Candidate& r = c.reference;
  table.add_row({r.file, human_bytes(r.bytes), fmt::format("{} of {}", r.integer_products, r.products), "", "", "",
                 "", percent(r.accuracy), ""});
  for (const Candidate& row : c.candidates)
    table.add_row({row.file, human_bytes(row.bytes), fmt::format("{} of {}", row.integer_products, row.products),
                   percent(row.score.top1), fmt::format("{:.6f}", row.score.cosine),
                   fmt::format("{:.6f}", row.score.min_cosine), fmt::format("{:.6f}", row.score.correlation), percent(row.accuracy),
                   row.accuracy && r.accuracy ? fmt::format("{:+.2f}", (*row.accuracy - *r.accuracy) * 100) : "–"});
  return table.str() + fmt::format("\nOn {} samples of {}\n", c.samples, c.dataset);
}

Status run_compare(const CompareFlags& flags) {
  CompareOptions options = flags.options;
  VTL_ASSIGN(options.model, flags.model_flags.options());
  VTL_ASSIGN(options.threads, flags.threads.value());
  options.progress = sample_progress(flags.json, "compare");
  VTL_ASSIGN(const Comparison comparison, compare_models(flags.reference, flags.candidates, options));
  for (const std::string& w : comparison.warnings) warn(w);
  if (flags.json)
    print_json(to_json(comparison));
  else
    print(to_text(comparison));
  return {};
}

}  // namespace

void add_compare(CLI::App& app, Action& action) {
  auto flags = std::make_shared<CompareFlags>();
  CLI::App* verb = app.add_subcommand("compare", "Compare quantized models with the one that they were made from");
  verb->add_option("REFERENCE", flags->reference, "The float ONNX model")->required();
  verb->add_option("MODEL", flags->candidates, "ONNX models made from it, by whatever tool")->required();
  verb->add_option("--images", flags->options.images,
                   "Folder of images; the names of their folders are the right classes where the labels hold them")
      ->required();
  verb->add_option("--samples", flags->options.max_samples, "At most so many, evenly spread (default: all)")
      ->check(CLI::PositiveNumber);
  flags->model_flags.add(*verb);
  flags->threads.add(*verb);
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags, &action] { action = [flags] { return run_compare(*flags); }; });
}

}  // namespace vitrail::cli
