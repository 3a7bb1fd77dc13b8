// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/layers.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "workflow/build_record.h"
#include "workflow/downgrades.h"

namespace vitrail::cli {
namespace {

Status explain(const std::string& path, bool json) {
  VTL_ASSIGN(const Engine engine, load_engine(path));
  const EngineInfo& info = engine.info;
  const std::vector<std::string> warnings = downgrades(info);
  if (json) {
    const auto quantization = nlohmann::ordered_json::parse(info.quantization_json, nullptr, false);
    print_json({{"engine", path},
                {"hash", engine.hash},
                {"model", info.model_name},
                {"backend", info.backend},
                {"precision", info.precision},
                {"certified", !info.certificate_json.empty()},
                {"refittable", recorded_options(info, path).ok()},
                {"quantization", quantization.is_object() ? quantization : nullptr},
                {"layers", layers_json(info.layers)},
                {"warnings", warnings}});
    return {};
  }
  print(fmt::format(
      "{}: {} for {} in {}, {} weights, {}\n\n", path, info.model_name, info.backend, info.precision,
      human_bytes(engine.weight_bytes),
      info.certificate_json.empty() ? "not certified (run `vitrail verify --certify`)" : "certified"));
  print(layer_table(info.layers, true));
  for (const std::string& w : warnings) warn(w);
  return {};
}

}  // namespace

void add_explain(CLI::App& app, Action& action) {
  struct Flags {
    std::string engine;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("explain", "Show each layer's kernel and why better ones declined");
  verb->add_option("ENGINE", flags->engine, "Engine file (.vtl)")->required();
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags, &action] { action = [flags] { return explain(flags->engine, flags->json); }; });
}

}  // namespace vitrail::cli
