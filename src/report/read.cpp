// SPDX-License-Identifier: Apache-2.0
#include "report/read.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <limits>
#include <map>

#include "core/error.h"
#include "core/files.h"
#include "engine/json_cursor.h"
#include "report/json_reader.h"

namespace vitrail::report {
namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20;
constexpr size_t kMaxRuns = 64;  // of one report; more are no longer readable
constexpr size_t kMaxPoints = 256;
constexpr size_t kMaxLayers = 100'000;
constexpr int64_t kMaxInteger = int64_t{1} << 40;

bool starts_with_any(std::string text, std::initializer_list<std::string_view> prefixes) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::ranges::any_of(prefixes, [&](std::string_view p) { return text.starts_with(p); });
}

Kind kind_of(const Run& run) {
  if (starts_with_any(run.runner, {"pytorch", "torch"})) return Kind::kPyTorch;
  return run.runner.empty() || starts_with_any(run.runner, {"vitrail"}) ? Kind::kVitrail : Kind::kPeer;
}

Point read_point(const JsonReader& r) {
  Point p;
  p.batch = r.integer("batch", 1, 1'000'000'000);
  p.streams = r.integer_or("streams", 1, 1, 1'000'000);
  p.threads = r.integer_or("threads", 1, 1, 1'000'000);
  p.mean_us = r.number("mean_us", 0);
  p.median_us = r.has("median_us") ? r.number("median_us", 0) : p.mean_us;
  p.images_per_second = r.number("images_per_second", 0);
  p.p90_us = r.optional_number("p90_us", 0);
  p.p95_us = r.optional_number("p95_us", 0);
  p.p99_us = r.optional_number("p99_us", 0);
  p.min_us = r.optional_number("min_us", 0);
  p.max_us = r.optional_number("max_us", 0);
  p.cv = r.optional_number("cv", 0);
  p.gflops = r.optional_number("gflops", 0);
  p.peak_fraction = r.optional_number("peak_fraction", 0);
  p.peak_rss_bytes = r.optional_number("peak_rss_bytes", 0);
  p.planned_bytes = r.optional_number("planned_bytes", 0);
  p.iterations = r.optional_number("iterations", 0);
  const JsonReader device = r.object("device");
  p.h2d_us = device.object("h2d").optional_number("median_us", 0);
  p.compute_us = device.object("compute").optional_number("median_us", 0);
  p.d2h_us = device.object("d2h").optional_number("median_us", 0);
  p.compute_images_per_second = device.optional_number("images_per_second", 0);
  p.device_bytes = r.optional_number("device_bytes", 0);
  p.shortened = r.boolean_or("shortened", false);
  p.distribution_us = r.numbers("distribution_us", 10'001);
  if (!std::ranges::is_sorted(p.distribution_us)) r.fault(r.path_of("distribution_us"), "must ascend");
  r.each("layers", kMaxLayers, [&](const JsonReader& l) {
    p.layers.push_back({l.text("name"), l.text("op"), l.text("stage"), l.number("median_us", 0)});
  });
  return p;
}

// One run for each (streams, threads) among the results, each with every batch once: the last wins.
void read_run_object(const JsonReader& r, const std::string& file, Data& data) {
  Run run;
  run.file = file;
  run.label = r.text("label");
  run.runner = r.text("runner");
  run.model = r.text("model");
  run.engine_hash = r.text("engine_hash");
  run.backend = r.text("backend");
  run.precision = r.text("precision");
  run.isa = r.text("isa");
  run.timestamp = r.text("timestamp");
  const JsonReader machine = r.object("machine");
  run.cpu = machine.text("cpu");
  run.kernel = machine.text("kernel");
  run.cores = machine.integer_or("cores", 0, 0, kMaxInteger);
  run.memory_bytes = machine.optional_number("memory_bytes", 0).value_or(0);
  const JsonReader gpu = machine.object("gpu");
  run.gpu = gpu.text("name");
  run.driver = gpu.text("driver");
  run.warnings = r.texts("warnings");
  run.kind = kind_of(run);
  run.raw = r.json();
  if (run.label.empty() && !run.precision.empty()) run.label = run.precision + " (" + run.backend + ")";
  if (run.label.empty())
    run.label = run.runner.empty() ? std::filesystem::path(file).stem().string() : run.runner;

  std::map<std::pair<int64_t, int64_t>, std::map<int64_t, Point>> settings;
  r.each("results", kMaxPoints, [&](const JsonReader& result) {
    Point p = read_point(result);
    const std::pair setting(p.streams, p.threads);
    settings[setting].insert_or_assign(p.batch, std::move(p));
  });
  for (auto& [setting, points] : settings) {
    Run one = run;
    if (settings.size() > 1)
      one.label += fmt::format(", {} streams × {} threads", setting.first, setting.second);
    for (auto& [batch, point] : points) one.points.push_back(std::move(point));
    data.runs.push_back(std::move(one));
  }
}

Compared read_compared(const JsonReader& r) {
  constexpr double kAny = std::numeric_limits<double>::lowest();
  return {r.text("name"),
          r.optional_number("max_abs", 0),
          r.optional_number("mean_abs", 0),
          r.optional_number("max_rel", 0),
          r.optional_number("max_scaled", 0),
          r.optional_number("cosine", kAny),
          r.optional_number("psnr", kAny),
          r.optional_number("top1_agreement", 0),
          r.optional_number("top5_agreement", 0)};
}

void read_verification(const JsonReader& r, const std::string& file, Data& data) {
  Verification v;
  v.file = file;
  v.model = r.text("model");
  v.engine_hash = r.text("engine_hash");
  v.backend = r.text("backend");
  v.precision = r.text("precision");
  v.reference = r.text("reference");
  v.dataset = r.text("dataset");
  v.dataset_hash = r.text("dataset_hash");
  v.passed = r.boolean("passed");
  v.samples = r.integer_or("samples", 0, 0, kMaxInteger);
  const JsonReader tolerance = r.object("tolerance");
  v.max_scaled = tolerance.optional_number("max_scaled", 0);
  v.min_cosine = tolerance.optional_number("min_cosine", -2);
  v.failures = r.texts("failures");
  r.each("outputs", 1000, [&](const JsonReader& o) { v.outputs.push_back(read_compared(o)); });
  r.each("stages", 10'000, [&](const JsonReader& s) { v.stages.push_back(read_compared(s)); });
  r.each("batch_invariant", 100, [&](const JsonReader& b) {
    const int64_t batch = b.integer("batch", 1, kMaxInteger),
                  base = b.integer_or("base_batch", 1, 1, kMaxInteger);
    const auto difference = b.optional_number("max_abs", 0);
    v.batch_invariance.push_back(
        b.boolean_or("bit_identical", false)
            ? fmt::format("Batch {} is bit-identical to batch {}.", batch, base)
            : fmt::format("Batch {} differs from batch {} by at most {}.", batch, base,
                          difference ? fmt::format("{:.2e}", *difference) : "NaN or infinity"));
  });
  v.raw = r.json();
  data.verifications.push_back(std::move(v));
}

void read_quantization(const JsonReader& r, const std::string& file, Data& data) {
  Quantization q;
  q.file = file;
  q.model = r.text("model");
  q.output = r.text("output");
  q.method = r.text("method");
  q.smooth = r.boolean_or("smooth", false);
  q.met = r.boolean("met");
  q.model_bytes = r.optional_number("model_bytes", 0).value_or(0);
  q.output_bytes = r.optional_number("output_bytes", 0).value_or(0);
  q.calibration_hash = r.object("calibration").text("hash");
  q.all_top1 = r.object("all_int8").optional_number("top1_agreement", 0);
  q.all_cosine = r.object("all_int8").optional_number("cosine", -2);
  q.top1 = r.object("chosen").optional_number("top1_agreement", 0);
  q.cosine = r.object("chosen").optional_number("cosine", -2);
  q.samples = r.object("chosen").integer_or("samples", 0, 0, kMaxInteger);
  r.each("layers", kMaxLayers, [&](const JsonReader& l) {
    constexpr double kAny = std::numeric_limits<double>::lowest();
    QuantizedLayer layer{l.text("name"), l.text("precision"), l.text("reason"),
                         l.optional_number("share", 0).value_or(0), {}, l.optional_number("input_low", kAny),
                         l.optional_number("input_high", kAny), l.optional_number("smoothing", 0)};
    if (const auto cosine = l.object("alone").optional_number("cosine", -2)) layer.loss = std::max(0.0, 1 - *cosine);
    q.layers.push_back(std::move(layer));
  });
  q.raw = r.json();
  data.quantizations.push_back(std::move(q));
}

ComparedModel read_compared_model(const JsonReader& r) {
  return {r.text("file"),
          r.optional_number("bytes", 0).value_or(0),
          r.integer_or("products", 0, 0, kMaxInteger),
          r.integer_or("integer_products", 0, 0, kMaxInteger),
          r.optional_number("top1_agreement", 0),
          r.optional_number("cosine", -2),
          r.optional_number("min_cosine", -2),
          r.optional_number("accuracy", 0)};
}

void read_comparison(const JsonReader& r, const std::string& file, Data& data) {
  Comparison c;
  c.file = file;
  c.dataset = r.text("dataset");
  c.dataset_hash = r.text("dataset_hash");
  c.samples = r.integer("samples", 1, kMaxInteger);
  c.models.push_back(read_compared_model(r.object("reference")));
  r.each("candidates", 1000, [&](const JsonReader& m) { c.models.push_back(read_compared_model(m)); });
  c.raw = r.json();
  data.comparisons.push_back(std::move(c));
}

void read_object(const JsonReader& r, const std::string& file, Data& data, int depth);

void read_any(const nlohmann::json& json, const std::string& path, Status& status, const std::string& file,
              Data& data, int depth) {
  if (json.is_object()) return read_object(JsonReader(json, path, status), file, data, depth);
  const JsonReader here(json, path, status);
  if (!json.is_array())
    return here.fault(path.empty() ? "(top)" : path, "must be an object or an array of objects");
  if (json.size() > kMaxRuns) return here.fault(path.empty() ? "(top)" : path, "holds too many runs");
  for (size_t i = 0; i < json.size() && status.ok(); ++i) {
    const std::string element = path + "[" + std::to_string(i) + "]";
    if (!json[i].is_object()) return here.fault(element, "must be an object");
    read_object(JsonReader(json[i], element, status), file, data, depth);
  }
}

void read_object(const JsonReader& r, const std::string& file, Data& data, int depth) {
  if (!r.ok()) return;
  bool known = false;
  if (r.has("results")) read_run_object(r, file, data), known = true;
  if (r.has("outputs") && r.has("passed")) read_verification(r, file, data), known = true;
  if (r.text("kind") == "quantization") read_quantization(r, file, data), known = true;
  if (r.text("kind") == "comparison") read_comparison(r, file, data), known = true;
  if (depth == 0) {
    for (const char* key : {"bench", "verify", "peers", "runs", "verifications"}) {
      if (!r.has(key)) continue;
      read_any(r.json()[key], r.path_of(key), r.status(), file, data, depth + 1);
      known = true;
    }
  }
  if (!known)
    r.fault(r.path_of("results"),
            "is missing, and so are 'outputs' and 'runs': not a bench, verify or optimize output");
}

void make_labels_unique(Data& data) {
  std::map<std::string, int> seen;
  for (Run& run : data.runs) {
    if (const int n = ++seen[run.label]; n > 1) run.label += fmt::format(" #{}", n);
  }
}

}  // namespace

Status read_run(std::string_view text, const std::string& name, Data& data) {
  auto json = parse_json(text);
  if (!json.ok()) return json.status().with_context(name);
  Status status;
  read_any(*json, "", status, name, data, 0);
  VTL_TRY(status.with_context(name));
  if (data.runs.size() > kMaxRuns)
    return bad_input("{}: more than {} runs in one report; leave some out", name, kMaxRuns);
  return Status();
}

Result<Data> read_runs(std::span<const std::string> files) {
  if (files.empty())
    return usage_error("no JSON file was given; make one with bench --json, verify --json or optimize");
  Data data;
  for (const std::string& file : files) {
    VTL_ASSIGN(const std::string text, read_file(file, kMaxFileBytes));
    VTL_TRY(read_run(text, file, data));
  }
  if (data.runs.empty() && data.verifications.empty() && data.quantizations.empty() && data.comparisons.empty())
    return bad_input("{}: no results in it", fmt::join(files, ", "));
  make_labels_unique(data);
  return data;
}

}  // namespace vitrail::report
