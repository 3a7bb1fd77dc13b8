// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "workflow/infer.h"

namespace vitrail::cli {
namespace {

struct RunFlags {
  InferOptions options;
  std::vector<std::string> inputs, outputs;
  ThreadFlag threads;
  bool json = false;
};

nlohmann::ordered_json to_json(const RowResult& row) {
  nlohmann::ordered_json json;
  if (!row.source.empty()) json["image"] = row.source;
  if (!row.top.empty()) {
    auto list = nlohmann::ordered_json::array();
    for (const Classification& c : row.top)
      list.push_back({{"index", c.index}, {"label", c.label}, {"score", c.score}});
    json["top"] = list;
  }
  auto outputs = nlohmann::ordered_json::array();
  for (const OutputSummary& o : row.outputs)
    outputs.push_back({{"name", o.name},
                       {"dtype", dtype_name(o.dtype)},
                       {"shape", o.shape},
                       {"min", o.min},
                       {"max", o.max},
                       {"mean", o.mean}});
  json["outputs"] = outputs;
  return json;
}

std::string to_text(const RowResult& row) {
  std::string text = row.source.empty() ? "" : row.source + "\n";
  for (const Classification& c : row.top)
    text += fmt::format("  {:6.2f} %  {}\n", c.score * 100,
                        c.label.empty() ? fmt::format("class {}", c.index) : c.label);
  if (!row.top.empty()) return text;
  for (const OutputSummary& o : row.outputs)
    text += fmt::format("  {} {}{}: min {:.6g}, max {:.6g}, mean {:.6g}\n", o.name, dtype_name(o.dtype),
                        to_string(o.shape), o.min, o.max, o.mean);
  return text;
}

Status run(const RunFlags& flags) {
  InferOptions options = flags.options;
  VTL_ASSIGN(options.threads, flags.threads.value());
  for (const std::string& text : flags.inputs) {
    VTL_ASSIGN(auto pair, parse_pair(text));
    options.inputs.push_back(std::move(pair));
  }
  for (const std::string& text : flags.outputs) {
    VTL_ASSIGN(auto pair, parse_pair(text));
    options.outputs.push_back(std::move(pair));
  }
  if (options.images.empty() == options.inputs.empty())
    return usage_error("run needs either --image FILE… or --input NAME=FILE.npy…");
  VTL_ASSIGN(const InferOutcome outcome, infer(options));
  if (flags.json) {
    auto rows = nlohmann::ordered_json::array();
    for (const RowResult& row : outcome.rows) rows.push_back(to_json(row));
    print_json({{"engine", options.engine}, {"results", rows}, {"written", outcome.written}});
    return {};
  }
  for (const RowResult& row : outcome.rows) print(to_text(row));
  for (const std::string& path : outcome.written) print(fmt::format("written {}\n", path));
  return {};
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* verb = app.add_subcommand("run", "Run an engine on images or arrays");
  verb->add_option("ENGINE", flags->options.engine, "Engine file (.vtl)")->required();
  verb->add_option("--image", flags->options.images, "Image files or folders (searched recursively)");
  verb->add_option("--input", flags->inputs, "NAME=FILE.npy for each input, or NAME=FILE.npz");
  verb->add_option("--output", flags->outputs, "NAME=FILE.npy, .npz or, for maps [N,1,H,W], .png");
  verb->add_option("--top", flags->options.top, "Classes to show")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  verb->add_option("--isa", flags->options.isa,
                   "scalar, avx2, avxvnni, avx512, avx512vnni or avx512amx (default: the best here)");
  flags->threads.add(*verb);
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace vitrail::cli
