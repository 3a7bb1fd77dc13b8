// SPDX-License-Identifier: Apache-2.0
// Small inputs for reports.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "report/model.h"
#include "report/read.h"

namespace vitrail::report {

// A bench output: for each (batch, images per second) a result.
inline nlohmann::json bench_json(const std::string& label, const std::string& runner,
                                 const std::string& precision,
                                 const std::vector<std::pair<int, double>>& speeds) {
  nlohmann::json json = {{"kind", "bench"},
                         {"label", label},
                         {"runner", runner},
                         {"model", "vit.onnx"},
                         {"precision", precision},
                         {"backend", "cpu"},
                         {"engine_hash", runner.starts_with("vitrail") ? "hash-of-" + label : ""},
                         {"machine", {{"cpu", "Test CPU"}, {"cores", 2}}}};
  for (const auto& [batch, speed] : speeds) {
    const double us = 1e6 * batch / speed;
    json["results"].push_back({{"batch", batch},
                               {"mean_us", us},
                               {"median_us", us},
                               {"p99_us", 1.2 * us},
                               {"images_per_second", speed},
                               {"peak_rss_bytes", 100e6}});
  }
  return json;
}

inline nlohmann::json verify_json(const std::string& engine_hash, bool passed) {
  return {{"kind", "verify"},
          {"passed", passed},
          {"engine_hash", engine_hash},
          {"samples", 3},
          {"reference", "reference backend"},
          {"tolerance", {{"max_scaled", 1e-3}, {"min_cosine", 0.99999}}},
          {"failures", passed ? std::vector<std::string>{} : std::vector<std::string>{"output 'y': far off"}},
          {"outputs",
           {{{"name", "y"},
             {"max_abs", 1e-5},
             {"mean_abs", 1e-6},
             {"max_rel", 1e-4},
             {"max_scaled", 2e-6},
             {"cosine", 1.0},
             {"top1_agreement", 1.0},
             {"top5_agreement", nullptr}}}},
          {"stages",
           {{{"name", "patch_embed"}, {"max_scaled", 1e-7}}, {{"name", "block.0"}, {"max_scaled", 3e-7}}}}};
}

// The runs of these objects; an empty one when they cannot be read.
inline Data read_all(const std::vector<nlohmann::json>& objects) {
  Data data;
  for (const auto& json : objects) {
    if (!read_run(json.dump(), "test.json", data).ok()) return {};
  }
  return data;
}

}  // namespace vitrail::report
