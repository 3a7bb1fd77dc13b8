// SPDX-License-Identifier: Apache-2.0
#include "engine/info_json.h"

#include "engine/json_cursor.h"

namespace vitrail {
namespace {

using nlohmann::json;

json layer_to_json(const LayerReport& layer) {
  json refused = json::array();
  for (const Refusal& r : layer.refused) refused.push_back({{"kernel", r.kernel}, {"reason", r.reason}});
  return {{"name", layer.name},
          {"op", layer.op},
          {"stage", layer.stage},
          {"kernel", layer.kernel},
          {"precision", layer.precision},
          {"refused", std::move(refused)},
          {"flops_per_image", real_to_json(layer.flops_per_image)}};
}

LayerReport layer_from_json(const JsonCursor& j) {
  LayerReport layer;
  layer.name = j["name"].text();
  layer.op = j["op"].text();
  layer.stage = j["stage"].text();
  layer.kernel = j["kernel"].text();
  layer.precision = j["precision"].text();
  layer.flops_per_image = j["flops_per_image"].real();
  j["refused"].for_each([&](const JsonCursor& c) {
    layer.refused.push_back({c["kernel"].text(), c["reason"].text()});
  });
  return layer;
}

}  // namespace

Result<std::string> info_to_json(const EngineInfo& info) {
  VTL_ASSIGN(json preprocess, parse_json(contract_to_json(info.preprocess)));
  json profiles = json::array(), layers = json::array();
  for (const Profile& p : info.profiles) profiles.push_back({{"min", p.min}, {"opt", p.opt}, {"max", p.max}});
  for (const LayerReport& layer : info.layers) layers.push_back(layer_to_json(layer));
  json quantization, build;
  if (!info.quantization_json.empty()) {
    VTL_ASSIGN(quantization, parse_json(info.quantization_json));
  }
  if (!info.build_json.empty()) {
    VTL_ASSIGN(build, parse_json(info.build_json));
  }
  return dump_json({{"producer", info.producer},
                    {"model_name", info.model_name},
                    {"model_hash", info.model_hash},
                    {"backend", info.backend},
                    {"precision", info.precision},
                    {"workspace_bytes", info.workspace_bytes},
                    {"profiles", std::move(profiles)},
                    {"preprocess", std::move(preprocess)},
                    {"labels", info.labels},
                    {"quantization", std::move(quantization)},
                    {"build", std::move(build)},
                    {"layers", std::move(layers)}});
}

Result<EngineInfo> info_from_json(std::string_view text) {
  VTL_ASSIGN(const json document, parse_json(text));
  Status status;
  const JsonCursor j(document, status);
  EngineInfo info;
  info.producer = j["producer"].text();
  info.model_name = j["model_name"].text();
  info.model_hash = j["model_hash"].text();
  info.backend = j["backend"].text();
  info.precision = j["precision"].text();
  info.workspace_bytes = j["workspace_bytes"].integer(0);
  j["profiles"].for_each([&](const JsonCursor& c) {
    info.profiles.push_back({c["min"].integer(), c["opt"].integer(), c["max"].integer()});
  });
  j["labels"].for_each([&](const JsonCursor& c) { info.labels.push_back(c.text()); });
  j["layers"].for_each([&](const JsonCursor& c) { info.layers.push_back(layer_from_json(c)); });
  // Engines of before 0.1.0 lack them.
  for (const auto& [key, text] : {std::pair{"quantization", &info.quantization_json}, {"build", &info.build_json}})
    if (j.has(key) && !j[key].json().is_null()) {
      VTL_ASSIGN(*text, dump_json(j[key].json()));
    }
  const JsonCursor preprocess = j["preprocess"];
  if (!status.ok()) return status;
  VTL_ASSIGN(const std::string contract, dump_json(preprocess.json()));
  VTL_ASSIGN(info.preprocess, parse_contract(contract));
  return info;
}

}  // namespace vitrail
