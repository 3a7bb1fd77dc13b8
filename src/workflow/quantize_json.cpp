// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "workflow/quantize.h"

namespace vitrail {
namespace {

using nlohmann::ordered_json;

ordered_json sources_json(const QuantizeOutcome& o) {
  auto sources = ordered_json::array();
  for (const auto& s : o.calibration)
    sources.push_back({{"description", s.description}, {"hash", s.hash}, {"samples", s.samples}});
  return sources;
}

ordered_json layer_json(const QuantizedLayer& layer) {
  ordered_json j = {{"name", layer.name},
                    {"op", layer.op},
                    {"precision", layer.int8 ? "int8" : "float32"},
                    {"reason", layer.reason},
                    {"share", layer.share}};
  if (layer.width == 0) return j;
  j["depth"] = layer.depth;
  j["width"] = layer.width;
  j["input_low"] = layer.input.low();
  j["input_high"] = layer.input.high();
  j["input_scale"] = layer.input.scale;
  j["input_zero_point"] = layer.input.zero_point();
  j["smoothing"] = layer.smoothing;
  if (layer.alone) j["alone"] = to_json(*layer.alone);
  return j;
}

}  // namespace

ordered_json to_json(const QuantizeOutcome& o) {
  auto layers = ordered_json::array();
  for (const QuantizedLayer& layer : o.layers) layers.push_back(layer_json(layer));
  return {{"kind", "quantization"},
          {"model", o.model},
          {"model_hash", o.model_hash},
          {"output", o.output},
          {"model_bytes", o.model_bytes},
          {"output_bytes", o.output_bytes},
          {"method", o.method},
          {"smooth", o.smooth},
          {"symmetric", o.symmetric},
          {"calibration", {{"hash", o.calibration_hash}, {"table", o.table_path}, {"sources", sources_json(o)}}},
          {"max_drop", o.max_drop},
          {"min_cosine", o.min_cosine},
          {"met", o.met},
          {"all_int8", to_json(o.all_int8)},
          {"chosen", to_json(o.chosen)},
          {"layers", std::move(layers)},
          {"warnings", o.warnings}};
}

std::string quantization_metadata(const QuantizeOutcome& o) {
  auto kept = ordered_json::array();
  for (const QuantizedLayer& layer : o.layers)
    if (!layer.int8) kept.push_back({{"name", layer.name}, {"reason", layer.reason}});
  const ordered_json j = {{"source_model", o.model},
                          {"source_hash", o.model_hash},
                          {"method", o.method},
                          {"smooth", o.smooth},
                          {"symmetric", o.symmetric},
                          {"calibration_hash", o.calibration_hash},
                          {"calibration", sources_json(o)},
                          {"agreement", to_json(o.chosen)},
                          {"float_layers", std::move(kept)}};
  return j.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace vitrail
