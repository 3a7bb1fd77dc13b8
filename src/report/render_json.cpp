// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "report/render.h"

namespace vitrail::report {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json table_json(const Table& t) {
  return {{"title", t.title}, {"caption", t.caption}, {"header", t.header}, {"rows", t.rows}};
}

Json recommendation_json(const Data& data, const Recommendation& r) {
  Json json = {{"headline", r.headline}, {"notes", r.notes}};
  if (!r.run) return json;
  const Run& run = data.runs[*r.run];
  const Point& p = *run.at(r.batch);
  json["run"] = run.label;
  json["precision"] = run.precision;
  json["backend"] = run.backend;
  json["batch"] = r.batch;
  json["images_per_second"] = p.images_per_second;
  json["mean_us"] = p.mean_us;
  json["latency_best_batch"] = r.latency_batch;
  json["throughput_best_batch"] = r.throughput_batch;
  json["verified"] = r.verified == Verified::kPassed   ? Json(true)
                     : r.verified == Verified::kFailed ? Json(false)
                                                       : Json(nullptr);
  json["gain"] = nullptr;
  if (r.gain)
    json["gain"] = {{"baseline", r.gain->baseline},
                    {"speed_up", or_null(r.gain->speed_up)},
                    {"speed_up_batch", r.gain->speed_up_batch},
                    {"throughput_gain", or_null(r.gain->throughput_gain)},
                    {"throughput_batch", r.gain->throughput_batch},
                    {"memory_reduction", or_null(r.gain->memory_reduction)}};
  return json;
}

}  // namespace

std::string render_json(const Data& data, const Recommendation& recommendation, const Tables& tables) {
  Json json = {{"schema", "vitrail.report/1"},  {"kind", "report"},
               {"model", model_name(data)},     {"recommendation", recommendation_json(data, recommendation)},
               {"tables", Json::object()},      {"runs", Json::array()},
               {"verifications", Json::array()},
               {"quantizations", Json::array()},
               {"comparisons", Json::array()}};
  for (const Table& table : tables.protocol) json["tables"][table.id] = table_json(table);
  json["tables"][tables.memory.id] = table_json(tables.memory);
  if (!tables.device.rows.empty()) json["tables"][tables.device.id] = table_json(tables.device);
  for (const Run& run : data.runs) {
    Json raw = run.raw;
    raw["label"] = run.label;
    raw["file"] = run.file;
    // A file with several stream settings was split into one run for each.
    Json kept = Json::array();
    for (Json& result : raw["results"]) {
      if (result.value("streams", int64_t{1}) == run.points[0].streams &&
          result.value("threads", int64_t{1}) == run.points[0].threads)
        kept.push_back(std::move(result));
    }
    raw["results"] = std::move(kept);
    json["runs"].push_back(std::move(raw));
  }
  for (const Verification& v : data.verifications) {
    Json raw = v.raw;
    raw["file"] = v.file;
    json["verifications"].push_back(std::move(raw));
  }
  const auto keep = [&](const char* key, const auto& list) {
    for (const auto& item : list) {
      Json raw = item.raw;
      raw["file"] = item.file;
      json[key].push_back(std::move(raw));
    }
  };
  keep("quantizations", data.quantizations);
  keep("comparisons", data.comparisons);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace vitrail::report
