// SPDX-License-Identifier: Apache-2.0
#include "import/safetensors/import.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "import/onnx/weights_check.h"
#include "import/safetensors/tower.h"

namespace vitrail {
namespace safetensors {
namespace {

constexpr int64_t kOpset = 20;  // whose operators the builder uses

Result<Graph> import_model(const std::string& path, ImportReport& report, std::vector<std::string>* files) {
  VTL_ASSIGN(const Checkpoint checkpoint, open_checkpoint(path));
  if (files) *files = checkpoint.files;
  VTL_ASSIGN(const Config config, read_config(checkpoint));
  report.warnings.insert(report.warnings.end(), config.warnings.begin(), config.warnings.end());

  Weights weights(checkpoint.entries);
  // Of training, of the text tower, and buffers.
  for (const char* part : {"mask_token", "position_ids", "text_model.", "text_projection.", "logit_scale", "logit_bias"})
    weights.ignore(part);
  Builder builder;
  builder.graph.opset = kOpset;
  build_model(config, weights, builder);
  VTL_TRY(weights.check().with_context(path));

  Graph graph = std::move(builder.graph);
  graph.name = "main";
  if (!config.preprocess.empty()) graph.metadata["vitrail.preprocess"] = config.preprocess;
  if (!config.labels.empty())
    graph.metadata["vitrail.labels"] =
        nlohmann::json(config.labels).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string first_nonfinite;
  for (const Value& value : graph.values) {
    if (!value.constant) continue;
    const int64_t found = onnx_import::nonfinite_weights(*value.constant);
    if (found > 0 && report.nonfinite_weights == 0) first_nonfinite = value.name;
    report.nonfinite_weights += found;
  }
  onnx_import::warn_of_nonfinite(first_nonfinite, report);
  VTL_TRY(verify_graph(graph));
  return graph;
}

}  // namespace
}  // namespace safetensors

bool is_safetensors(const std::string& path) { return safetensors::is_checkpoint(path); }

Result<Graph> import_safetensors(const std::string& path, ImportReport* report, std::vector<std::string>* files) try {
  ImportReport unwanted;
  return safetensors::import_model(path, report ? *report : unwanted, files);
} catch (const std::bad_alloc&) {
  return resource_error("{}: there is not enough memory to read it", path);
} catch (const std::exception& e) {
  return internal_error("{}: {}", path, e.what());
}

}  // namespace vitrail
