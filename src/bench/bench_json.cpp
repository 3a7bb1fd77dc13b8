// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>

#include "bench/bench.h"

namespace vitrail {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json gpu_json(const std::optional<DeviceInfo>& gpu) {
  if (!gpu) return nullptr;
  return {{"name", gpu->name},
          {"compute_capability", text_or_null(gpu->compute_capability)},
          {"multiprocessors", gpu->multiprocessors},
          {"memory_mib", gpu->memory_bytes >> 20},
          {"driver", text_or_null(gpu->driver)},
          {"driver_cuda", text_or_null(gpu->driver_cuda)},
          {"runtime_cuda", text_or_null(gpu->runtime_cuda)}};
}

Json machine_json(const Machine& m) {
  return {{"cpu", m.cpu},
          {"cores", m.cores},
          {"isa_flags", m.isa_flags},
          {"memory_bytes", m.memory_bytes},
          {"kernel", m.kernel},
          {"governor", text_or_null(m.governor)},
          {"gpu", gpu_json(m.gpu)}};
}

Json layer_json(const LayerTime& l) {
  return {{"name", l.name},
          {"op", l.op},
          {"stage", l.stage},
          {"kernel", l.kernel},
          {"precision", l.precision},
          {"median_us", l.median_us},
          {"share", l.share},
          {"gflops", l.gflops},
          {"gbytes_per_second", l.gbytes_per_second},
          {"of_library", l.of_library}};
}

Json times_json(const Statistics& s) {
  return {{"mean_us", s.mean}, {"median_us", s.median}, {"p90_us", s.p90}, {"p95_us", s.p95},
          {"p99_us", s.p99},   {"min_us", s.min},       {"max_us", s.max}, {"stddev_us", s.stddev}};
}

Json device_json(const std::optional<DeviceFigures>& d) {
  if (!d) return nullptr;
  return {{"h2d", times_json(d->h2d)},
          {"compute", times_json(d->compute)},
          {"d2h", times_json(d->d2h)},
          {"images_per_second", d->images_per_second}};
}

Json result_json(const BenchResult& r) {
  Json json = {{"batch", r.batch},
               {"streams", r.streams},
               {"threads", r.threads},
               {"mean_us", r.latency.mean},
               {"median_us", r.latency.median},
               {"p90_us", r.latency.p90},
               {"p95_us", r.latency.p95},
               {"p99_us", r.latency.p99},
               {"min_us", r.latency.min},
               {"max_us", r.latency.max},
               {"images_per_second", r.images_per_second},
               {"peak_rss_bytes", r.peak_rss_bytes},
               {"planned_bytes", r.planned_bytes},
               {"gflops", or_null(r.gflops)},
               {"peak_fraction", or_null(r.peak_fraction)},
               {"stddev_us", r.latency.stddev},
               {"cv", r.latency.cv},
               {"device", device_json(r.device)},
               {"device_bytes", r.device_bytes > 0 ? Json(r.device_bytes) : Json(nullptr)},
               {"iterations", r.iterations},
               {"warm_up", r.warm_up},
               {"shortened", r.shortened},
               {"distribution_us", r.distribution_us},
               {"layers", Json::array()}};
  for (const LayerTime& layer : r.layers) json["layers"].push_back(layer_json(layer));
  return json;
}

}  // namespace

Json to_json(const BenchReport& r) {
  Json json = {
      {"schema", "vitrail.bench/1"},
      {"kind", "bench"},
      {"label", r.label},
      {"runner", r.runner},
      {"model", r.model},
      {"engine_hash", r.engine_hash},
      {"backend", r.backend},
      {"precision", r.precision},
      {"isa", r.isa},
      {"machine", machine_json(r.machine)},
      {"timestamp", r.timestamp},
      {"peak_gflops", or_null(r.peak_gflops)},
      {"peak_int8_gflops", or_null(r.peak_int8_gflops)},
      {"protocol",
       {{"warm_up", r.warm_up}, {"iterations", r.iterations}, {"idle_ms", r.idle_ms}, {"max_seconds", or_null(r.max_seconds)}}},
      {"cancelled", r.cancelled},
      {"results", Json::array()},
      {"warnings", r.warnings}};
  for (const BenchResult& result : r.results) json["results"].push_back(result_json(result));
  return json;
}

std::string to_json_text(const BenchReport& report) {
  return to_json(report).dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

Json export_times(const BenchReport& report) {
  int64_t origin = INT64_MAX;
  for (const BenchResult& result : report.results) {
    for (const Sample& s : result.samples) origin = std::min(origin, s.begin_ns);
  }
  Json rows = Json::array();
  for (const BenchResult& result : report.results) {
    for (const Sample& s : result.samples) {
      const double begin = static_cast<double>(s.begin_ns - origin) / 1e6;
      const double end = static_cast<double>(s.end_ns - origin) / 1e6;
      const double h2d = s.on_device() ? static_cast<double>(s.h2d_us) / 1e3 : 0;
      const double d2h = s.on_device() ? static_cast<double>(s.d2h_us) / 1e3 : 0;
      const double compute = s.on_device() ? static_cast<double>(s.compute_us) / 1e3 : end - begin;
      const double copied = begin + h2d, computed = std::max(copied, end - d2h);
      rows.push_back({{"startEnqMs", begin},
                      {"endEnqMs", begin},
                      {"startH2dMs", begin},
                      {"endH2dMs", copied},
                      {"startComputeMs", s.on_device() ? std::max(copied, computed - compute) : begin},
                      {"endComputeMs", computed},
                      {"startD2hMs", computed},
                      {"endD2hMs", end},
                      {"h2dMs", h2d},
                      {"computeMs", compute},
                      {"d2hMs", d2h},
                      {"latencyMs", end - begin},
                      {"batch", result.batch},
                      {"stream", s.stream}});
    }
  }
  return rows;
}

}  // namespace vitrail
