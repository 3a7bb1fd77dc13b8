// SPDX-License-Identifier: Apache-2.0
// What stands in each table.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>
#include <unordered_map>

#include "report/format.h"
#include "report/table.h"

namespace vitrail::report {
namespace {

constexpr std::array<int64_t, 5> kProtocolBatches = {1, 8, 16, 32, 64};
constexpr int64_t kGainBatch = 32;
constexpr size_t kMaxColumns = 12;
const char* const kNotMeasured = "not measured";

std::vector<int64_t> batches(const Data& data) {
  std::set<int64_t> all;
  for (const Run& run : data.runs)
    for (const Point& p : run.points) all.insert(p.batch);
  std::vector<int64_t> out(all.begin(), all.end());
  if (out.size() > kMaxColumns) out.resize(kMaxColumns);
  return out;
}

std::vector<std::string> batch_header(const char* first, const std::vector<int64_t>& batches) {
  std::vector<std::string> header{first};
  for (int64_t b : batches) header.push_back(fmt::format("batch {}", b));
  return header;
}

std::string missing_batches(const std::vector<int64_t>& measured) {
  std::vector<int64_t> missing;
  for (int64_t b : kProtocolBatches) {
    if (std::ranges::find(measured, b) == measured.end()) missing.push_back(b);
  }
  return missing.empty() ? "" : fmt::format(" Batch {} not measured.", fmt::join(missing, ", "));
}

// Rows of the protocol that no run fills.
std::vector<std::string> missing_rows(const Data& data) {
  bool pytorch = false, fp32 = false, fp16 = false;
  for (const Run& run : data.runs) {
    pytorch |= run.kind == Kind::kPyTorch;
    fp32 |= run.kind == Kind::kVitrail && !run.is_reference() && run.precision == "fp32";
    fp16 |= run.kind == Kind::kVitrail && !run.is_reference() && run.precision == "fp16";
  }
  std::vector<std::string> rows;
  if (!pytorch) rows.push_back("PyTorch (original)");
  if (!fp32) rows.push_back("FP32 engine");
  if (!fp16) rows.push_back("FP16 engine");
  return rows;
}

Table by_batch(const Data& data, const Recommendation& recommendation, Table table,
               std::string (*cell)(const Point&)) {
  const std::vector<int64_t> columns = batches(data);
  table.header = batch_header("runner", columns);
  table.caption += missing_batches(columns);
  for (size_t i = 0; i < data.runs.size(); ++i) {
    std::vector<std::string> row{data.runs[i].label};
    for (int64_t b : columns) {
      const Point* p = data.runs[i].at(b);
      row.push_back(p ? cell(*p) : "–");
    }
    if (recommendation.run == i) table.emphasised_row = static_cast<int>(table.rows.size());
    table.rows.push_back(std::move(row));
  }
  for (std::string& row : missing_rows(data)) table.rows.push_back({std::move(row), kNotMeasured});
  return table;
}

std::string share(const std::optional<double>& value) { return value ? percent(*value, 2) : "–"; }

std::string cosine(const std::optional<double>& value) { return value ? fmt::format("{:.7f}", *value) : "–"; }

std::vector<std::string> error_cells(const Compared& c) {
  return {c.name,
          scientific(c.max_abs),
          scientific(c.mean_abs),
          scientific(c.max_scaled),
          cosine(c.cosine),
          c.psnr ? fmt::format("{:.1f}", *c.psnr) : "–"};
}

}  // namespace

Table latency_table(const Data& data, const Recommendation& recommendation) {
  return by_batch(data, recommendation,
                  {"latency_ms", "Average latency", "Milliseconds a batch; lower is better.", {}, {}, -1},
                  [](const Point& p) { return milliseconds(p.mean_us); });
}

Table throughput_table(const Data& data, const Recommendation& recommendation) {
  return by_batch(data, recommendation,
                  {"throughput", "Throughput", "Images per second; higher is better.", {}, {}, -1},
                  [](const Point& p) { return number(p.images_per_second); });
}

Table gain_table(const Data& data, const Recommendation& recommendation) {
  Table table{"gains", "Gain over the baseline",
              "",      {"runner", "speed-up (latency)", "throughput gain", "memory reduction"},
              {},      -1};
  std::optional<size_t> baseline = baseline_of(data);
  const bool among_engines = !baseline && data.runs.size() > 1;  // the first row, then
  if (among_engines) baseline = 0;
  if (!baseline) {
    table.caption = "No baseline (PyTorch, another runtime, the reference backend) was measured.";
    table.rows.push_back({"every run", kNotMeasured});
    return table;
  }
  table.caption = fmt::format(
      "Baseline: {}. Latency at the smallest, throughput and peak memory at batch 32 or else the "
      "greatest batch that both were measured at.",
      data.runs[*baseline].label);
  const bool verified = !data.verifications.empty();
  if (verified) {
    table.caption += " Agreement and cosine: of the first output, against the reference backend.";
    table.header.insert(table.header.end(), {"top-1 agreement", "cosine"});
  }
  const auto add = [&](size_t i, std::vector<std::string> row) {
    if (recommendation.run == i) table.emphasised_row = static_cast<int>(table.rows.size());
    const Verification* v = verification_for(data.runs[i], data);
    const Compared* output = v && !v->outputs.empty() ? &v->outputs[0] : nullptr;
    if (verified) {
      row.push_back(output ? share(output->top1) : "–");
      row.push_back(output ? cosine(output->cosine) : "–");
    }
    table.rows.push_back(std::move(row));
  };
  if (among_engines) add(0, {data.runs[0].label, "1", "1", "–"});
  for (size_t i = 0; i < data.runs.size(); ++i) {
    if (i == *baseline) continue;
    const Gain g = gain_over(data.runs[i], data.runs[*baseline], kGainBatch);
    add(i, {data.runs[i].label,
            g.speed_up ? fmt::format("{} (batch {})", times(*g.speed_up), g.speed_up_batch) : "–",
            g.throughput_gain ? fmt::format("{} (batch {})", times(*g.throughput_gain), g.throughput_batch) : "–",
            g.memory_reduction ? percent(*g.memory_reduction) : "–"});
  }
  if (table.rows.empty()) table.rows.push_back({"other runs", kNotMeasured});
  return table;
}

Table percentile_table(const Run& run) {
  Table table{"percentiles",
              "Latency in full",
              run.label + ", milliseconds a batch.",
              {"batch", "mean", "median", "p90", "p95", "p99", "min", "max", "CV", "GFLOP/s", "of peak",
               "iterations"},
              {},
              -1};
  for (const Point& p : run.points) {
    auto ms = [](const std::optional<double>& us) { return dash_or(us, milliseconds); };
    table.rows.push_back(
        {fmt::format("{}", p.batch), milliseconds(p.mean_us), milliseconds(p.median_us), ms(p.p90_us),
         ms(p.p95_us), ms(p.p99_us), ms(p.min_us), ms(p.max_us), p.cv ? percent(*p.cv, 1) : "–",
         p.gflops ? number(*p.gflops) : "–", p.peak_fraction ? percent(*p.peak_fraction) : "–",
         p.iterations ? fmt::format("{:.0f}{}", *p.iterations, p.shortened ? " (shortened)" : "") : "–"});
  }
  return table;
}

Table memory_table(const Data& data) {
  const std::vector<int64_t> columns = batches(data);
  Table table{"memory_mib",
              "Memory",
              "MiB: peak resident memory of the process / planned for activations and scratch.",
              batch_header("runner", columns),
              {},
              -1};
  for (const Run& run : data.runs) {
    std::vector<std::string> row{run.label};
    for (int64_t b : columns) {
      const Point* p = run.at(b);
      std::string cell = p && p->peak_rss_bytes ? mebibytes(*p->peak_rss_bytes) : "–";
      if (p && p->planned_bytes && *p->planned_bytes > 0) cell += " / " + mebibytes(*p->planned_bytes);
      row.push_back(std::move(cell));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table device_table(const Data& data) {
  Table table{"device",
              "On the device",
              "Milliseconds a batch, medians: computing on the GPU, the copies beside it, and from host to "
              "host; memory "
              "above that of a bare device context.",
              {"runner", "batch", "GPU compute", "copy in", "copy out", "host to host", "images/s by compute",
               "device MiB"},
              {},
              -1};
  for (const Run& run : data.runs)
    for (const Point& p : run.points) {
      if (!p.compute_us && !p.device_bytes) continue;
      table.rows.push_back({run.label, fmt::format("{}", p.batch), dash_or(p.compute_us, milliseconds),
                            dash_or(p.h2d_us, milliseconds), dash_or(p.d2h_us, milliseconds),
                            milliseconds(p.median_us),
                            p.compute_images_per_second ? number(*p.compute_images_per_second) : "–",
                            dash_or(p.device_bytes, mebibytes)});
    }
  return table;
}

Table accuracy_table(const Verification& v) {
  Table table{"accuracy",
              "Accuracy of the outputs",
              fmt::format("Against {} on {} sample{}.", v.reference.empty() ? "the reference" : v.reference,
                          v.samples, v.samples == 1 ? "" : "s"),
              {"output", "max abs error", "mean abs error", "of greatest value", "cosine", "PSNR, dB",
               "top-1 agreement", "top-5 agreement"},
              {},
              -1};
  for (const Compared& o : v.outputs) {
    std::vector<std::string> row = error_cells(o);
    row.push_back(share(o.top1));
    row.push_back(share(o.top5));
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table stage_table(const Verification& v) {
  Table table{"stages",
              "Accuracy of the stages",
              "With fusion intact.",
              {"stage", "max abs error", "mean abs error", "of greatest value", "cosine", "PSNR, dB"},
              {},
              -1};
  for (const Compared& s : v.stages) table.rows.push_back(error_cells(s));
  return table;
}

std::vector<Layer> by_stage(const std::vector<Layer>& layers) {
  std::vector<Layer> stages;
  std::unordered_map<std::string, size_t> index;
  for (const Layer& layer : layers) {
    const std::string& key = layer.stage.empty() ? layer.op : layer.stage;
    const auto [it, is_new] = index.emplace(key, stages.size());
    if (is_new) stages.push_back({key, "", key, 0});
    stages[it->second].median_us += layer.median_us;
  }
  return stages;
}

Table layer_table(const Point& point, size_t rows) {
  std::vector<Layer> layers = point.layers;
  double total = 0;
  for (const Layer& layer : layers) total += layer.median_us;
  std::ranges::stable_sort(layers, std::ranges::greater{}, &Layer::median_us);
  Table table{"layers",
              "Slowest layers",
              fmt::format("Median at batch {}; {} layers in all.", point.batch, layers.size()),
              {"layer", "operator", "stage", "median, µs", "share"},
              {},
              -1};
  for (size_t i = 0; i < std::min(rows, layers.size()); ++i)
    table.rows.push_back({layers[i].name, layers[i].op, layers[i].stage, number(layers[i].median_us),
                          total > 0 ? percent(layers[i].median_us / total, 1) : "–"});
  return table;
}

Table machine_table(const Data& data) {
  auto machine_of = [](const Run& run) {
    std::string text = run.cpu.empty() ? "machine not named" : run.cpu;
    if (run.cores > 0) text += fmt::format(", {} core{}", run.cores, run.cores == 1 ? "" : "s");
    if (run.memory_bytes > 0) text += fmt::format(", {} GiB", number(run.memory_bytes / (1 << 30), 2));
    if (!run.gpu.empty()) text += "; " + run.gpu + (run.driver.empty() ? "" : ", driver " + run.driver);
    return text;
  };
  // What all runs share is said once, above the table.
  std::set<std::string> models;
  for (const Run& run : data.runs) models.insert(run.model);
  // Best one that names its GPU: the others ran on the host alone.
  auto named = std::ranges::find_if(data.runs, [](const Run& run) { return !run.gpu.empty(); });
  if (named == data.runs.end())
    named = std::ranges::find_if(data.runs, [](const Run& run) { return !run.cpu.empty(); });
  const bool one_machine = on_one_machine(data);
  Table table{"runs", "What was measured", "", {"runner"}, {}, -1};
  if (models.size() == 1 && !models.begin()->empty()) table.caption = "Model " + *models.begin() + ". ";
  if (one_machine && named != data.runs.end()) table.caption += "Machine: " + machine_of(*named) + ".";
  for (const char* title : {"engine", "precision", "backend", "isa", "streams × threads", "when"})
    table.header.push_back(title);
  if (models.size() > 1) table.header.push_back("model");
  if (!one_machine) table.header.push_back("machine");
  for (const Run& run : data.runs) {
    auto or_dash = [](const std::string& text) { return text.empty() ? std::string("–") : text; };
    std::vector<std::string> row{run.label,
                                 or_dash(shortened(run.engine_hash, 13)),
                                 or_dash(run.precision),
                                 or_dash(run.backend),
                                 or_dash(run.isa),
                                 fmt::format("{} × {}", run.points[0].streams, run.points[0].threads),
                                 or_dash(run.timestamp)};
    if (models.size() > 1) row.push_back(or_dash(run.model));
    if (!one_machine) row.push_back(machine_of(run));
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace vitrail::report
