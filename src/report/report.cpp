// SPDX-License-Identifier: Apache-2.0
#include "report/report.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "core/error.h"
#include "core/files.h"
#include "core/text_table.h"
#include "report/format.h"
#include "report/read.h"
#include "report/render.h"

namespace vitrail::report {
namespace {

constexpr size_t kLayerRows = 20;

Tables make_tables(const Data& data, const Recommendation& r) {
  Tables t;
  t.protocol = {latency_table(data, r), throughput_table(data, r), gain_table(data, r)};
  t.memory = memory_table(data);
  t.device = device_table(data);
  t.runs = machine_table(data);
  if (r.run) {
    const Run& run = data.runs[*r.run];
    t.percentiles.push_back(percentile_table(run));
    if (const Point* p = layered_point(run, r.batch)) t.layers.push_back(layer_table(*p, kLayerRows));
  }
  for (const Verification& v : data.verifications) {
    t.accuracy.push_back({accuracy_table(v)});
    if (!v.stages.empty()) t.accuracy.back().push_back(stage_table(v));
  }
  for (const Comparison& c : data.comparisons) t.comparisons.push_back(comparison_table(c));
  for (const Quantization& q : data.quantizations) t.quantizations.push_back(quantization_table(q));
  return t;
}

std::string render_text(const Data& data, const Recommendation& r, const Tables& tables) {
  std::string out;
  if (!data.runs.empty())
    for (const Table& table : tables.protocol) out += to_text(table) + "\n";
  for (const Verification& v : data.verifications) out += verdict(v) + "\n";
  for (const Quantization& q : data.quantizations) out += verdict(q) + "\n";
  for (const Table& table : tables.comparisons) out += to_text(table) + "\n";
  for (const std::string& note : r.notes) out += "note: " + note + "\n";
  return printable(out + "\n" + r.headline + "\n");
}

}  // namespace

std::string verdict(const Verification& v) {
  const std::string subject = v.precision.empty() ? (v.passed ? "Passed" : "Failed")
                                                  : fmt::format("{} ({}) {}", v.precision, v.backend, v.passed ? "passed" : "failed");
  std::string text =
      fmt::format("{} against {} on {} sample{}", subject,
                  v.reference.empty() ? "the reference" : v.reference, v.samples, v.samples == 1 ? "" : "s");
  if (!v.dataset.empty()) text += " of " + v.dataset;
  if (v.max_scaled) text += fmt::format("; tolerance {:g} of the greatest value", *v.max_scaled);
  if (v.min_cosine) text += fmt::format(", cosine at least {}", *v.min_cosine);
  text += ".";
  for (const std::string& sentence : v.batch_invariance) text += " " + sentence;
  return text;
}

const Point* layered_point(const Run& run, int64_t batch) {
  if (const Point* p = run.at(batch); p && !p->layers.empty()) return p;
  for (const Point& p : run.points) {
    if (!p.layers.empty()) return &p;
  }
  return nullptr;
}

std::string model_name(const Data& data) {
  for (const Run& run : data.runs) {
    if (!run.model.empty()) return run.model;
  }
  for (const Verification& v : data.verifications) {
    if (!v.model.empty()) return v.model;
  }
  for (const Quantization& q : data.quantizations)
    if (!q.model.empty()) return q.model;
  for (const Comparison& c : data.comparisons)
    if (!c.models.empty()) return std::filesystem::path(c.models[0].file).filename().string();
  return "model without a name";
}

Report build_report(const Data& data) {
  Report report;
  report.recommendation = recommend(data);
  const Tables tables = make_tables(data, report.recommendation);
  report.json = render_json(data, report.recommendation, tables);
  report.markdown = render_markdown(data, report.recommendation, tables);
  report.html = render_html(data, report.recommendation, tables);
  report.text = render_text(data, report.recommendation, tables);
  return report;
}

Result<Report> build_report(std::span<const std::string> run_json_files) {
  VTL_ASSIGN(const Data data, read_runs(run_json_files));
  return build_report(data);
}

Status write_report(const Report& report, const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return io_error("cannot make the folder {}: {}", folder, error.message());
  const std::filesystem::path base(folder);
  VTL_TRY(write_file_atomically((base / "report.json").string(), report.json));
  VTL_TRY(write_file_atomically((base / "report.md").string(), report.markdown));
  return write_file_atomically((base / "report.html").string(), report.html);
}

}  // namespace vitrail::report
