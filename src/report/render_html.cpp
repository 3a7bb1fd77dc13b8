// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "report/format.h"
#include "report/plots.h"
#include "report/render.h"
#include "report/style.h"

namespace vitrail::report {
namespace {

constexpr size_t kBars = 14;
constexpr size_t kStageBars = 40;
constexpr size_t kHistograms = 9;

// Nine panes of a window.
constexpr const char* kLogo =
    R"(<svg viewBox="0 0 26 26" aria-hidden="true"><rect x="0" y="0" width="8" height="8" fill="#1d55b4"/><rect x="9" y="0" width="8" height="8" fill="#e0a526"/><rect x="18" y="0" width="8" height="8" fill="#0d8f63"/><rect x="0" y="9" width="8" height="8" fill="#c01f5b"/><rect x="9" y="9" width="8" height="8" fill="#8a3fc0"/><rect x="18" y="9" width="8" height="8" fill="#1d8fb4"/><rect x="0" y="18" width="8" height="8" fill="#d2691e"/><rect x="9" y="18" width="8" height="8" fill="#0d8f63"/><rect x="18" y="18" width="8" height="8" fill="#1d55b4"/></svg>)";

std::string figure(const std::string& title, const std::string& caption, const std::string& svg,
                   const char* width = "") {
  if (svg.empty()) return "";
  return fmt::format(
      "<figure class=\"plot{}\">\n<figcaption><b>{}</b> <span>{}</span></figcaption>\n<div class=\"scroll\" "
      "tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n{}</div>\n</figure>\n",
      width, xml(title), xml(caption), xml(title), svg);
}

std::string section(const std::string& title, const std::string& content) {
  return content.empty() ? "" : "<h2>" + xml(title) + "</h2>\n" + content;
}

std::string tile(const std::string& value, const std::string& unit, const std::string& what,
                 const char* tone = "") {
  return fmt::format(
      "<div class=\"card tile\"><b class=\"{}\">{} <small>{}</small></b><span>{}</span></div>\n", tone,
      xml(value), xml(unit), xml(what));
}

std::string notes(const std::vector<std::string>& list) {
  if (list.empty()) return "";
  std::string out = "<ul class=\"notes\">\n";
  for (const std::string& note : list) out += "<li>" + xml(note) + "</li>\n";
  return out + "</ul>\n";
}

std::string subtitle(const Data& data) {
  std::string out;
  std::string newest;
  for (const Run& run : data.runs) newest = std::max(newest, run.timestamp);
  const auto run = std::ranges::find_if(data.runs, [](const Run& r) { return !r.cpu.empty(); });
  if (run != data.runs.end()) {
    out = run->cpu;
    if (run->cores > 0) out += fmt::format(" · {} core{}", run->cores, run->cores == 1 ? "" : "s");
    if (!run->kernel.empty()) out += " · " + run->kernel;
  }
  const auto gpu = std::ranges::find_if(data.runs, [](const Run& r) { return !r.gpu.empty(); });
  if (gpu != data.runs.end()) out = gpu->gpu + (out.empty() ? "" : " · " + out);
  if (!newest.empty()) out += (out.empty() ? "" : " · ") + newest;
  return out;
}

std::string tiles(const Data& data, const Recommendation& r) {
  if (!r.run) return "";
  const Run& run = data.runs[*r.run];
  const Point &p = *run.at(r.batch), &quick = *run.at(r.latency_batch);
  const Point& best = *run.at(r.throughput_batch);
  std::string out = "<div class=\"tiles\">\n";
  out += tile(
      fmt::format("{}", r.batch), "images",
      fmt::format("recommended batch: the smallest with {} of the best throughput", percent(kKneeShare)));
  out += tile(
      number(p.images_per_second), "images/s",
      fmt::format("at batch {}; best {} at batch {}", r.batch, number(best.images_per_second), best.batch));
  out += tile(milliseconds(quick.mean_us), "ms", fmt::format("lowest latency, at batch {}", quick.batch));
  if (r.gain && r.gain->throughput_gain)
    out +=
        tile(times(*r.gain->throughput_gain), "",
             fmt::format("throughput of {}{}", r.gain->baseline,
                         r.gain->own_batch_one ? "" : fmt::format(" at batch {}", r.gain->throughput_batch)));
  const Memory& memory = memory_of(data);
  if (const auto& bytes = p.*memory.bytes) out += tile(mebibytes(*bytes), "MiB", fmt::format("{} at batch {}", memory.name, r.batch));
  out += r.verified == Verified::kPassed ? tile("verified", "", "within tolerance of the reference", "good")
                                         : tile("not verified", "", "no comparison with the reference");
  return out + "</div>\n";
}

std::string speed(const Data& data, const Recommendation& r, const Tables& tables) {
  if (data.runs.empty()) return "";
  std::string out;
  for (const Table& table : tables.protocol) out += to_html(table);
  out += "<div class=\"pair\">\n" +
         figure("Throughput", "images per second against batch size", throughput_plot(data, r)) +
         figure("Memory", memory_of(data).caption, memory_plot(data, r)) + "</div>\n";
  return out;
}

std::string latency(const Data& data, const Recommendation& r, const Tables& tables) {
  if (!r.run) return "";
  const Run& run = data.runs[*r.run];
  std::string panels;
  size_t count = 0;
  for (const Point& p : run.points) {
    if (count == kHistograms) break;
    const std::string svg = latency_plot(p);
    panels += svg;
    count += !svg.empty();
  }
  std::string out;
  if (!panels.empty())
    out += "<figure class=\"plot\">\n<figcaption><b>Distribution</b> <span>" +
           xml(run.label + "; the height is the share of batches, the slowest hundredth may lie outside") +
           "</span></figcaption>\n<div class=\"small\">\n" + panels + "</div>\n</figure>\n";
  for (const Table& table : tables.percentiles) out += to_html(table);
  return out;
}

std::string layers(const Data& data, const Recommendation& r, const Tables& tables) {
  const Point* p = r.run ? layered_point(data.runs[*r.run], r.batch) : nullptr;
  if (!p) return "";
  std::vector<Layer> slowest = p->layers;
  std::ranges::stable_sort(slowest, std::ranges::greater{}, &Layer::median_us);
  const std::string at = fmt::format("median at batch {}, share of all layers", p->batch);
  std::string out =
      "<div class=\"pair\">\n" +
      figure("By stage", at, time_plot("stages", "Time by stage", by_stage(p->layers), kStageBars)) +
      figure("Slowest layers", at, time_plot("layers", "Time of the slowest layers", slowest, kBars)) +
      "</div>\n";
  for (const Table& table : tables.layers)
    out += "<p></p><details><summary>The slowest layers as a table</summary>\n" + to_html(table) +
           "</details>\n";
  return out;
}

std::string accuracy(const Data& data, const Tables& tables) {
  if (data.verifications.empty()) return "<p class=\"meta\">Not measured.</p>\n";
  std::string out;
  for (size_t i = 0; i < data.verifications.size(); ++i) {
    const Verification& v = data.verifications[i];
    out += fmt::format("<p><b class=\"{}\">{}</b> {}</p>\n", v.passed ? "good" : "bad", v.passed ? "✓" : "✗",
                       xml(verdict(v)));
    out += notes(v.failures);
    out += to_html(tables.accuracy[i][0]);
    out += figure("Error along the network", "greatest error of each stage, as a share of its greatest value",
                  error_plot(v, i), " wide");
    if (tables.accuracy[i].size() > 1)
      out += "<details><summary>The stages as a table</summary>\n" + to_html(tables.accuracy[i][1]) +
             "</details>\n";
    if (!v.dataset_hash.empty()) out += "<p class=\"meta\">Data set hash " + xml(v.dataset_hash) + "</p>\n";
  }
  return out;
}

std::string quantization(const Data& data, const Tables& tables) {
  std::string out;
  for (const Table& table : tables.comparisons) out += to_html(table);
  for (size_t i = 0; i < tables.quantizations.size(); ++i) {
    const Quantization& q = data.quantizations[i];
    out += fmt::format("<p><b class=\"{}\">{}</b> {}</p>\n", q.met ? "good" : "bad", q.met ? "✓" : "✗",
                       xml(verdict(q)));
    out += figure("Sensitivity", "1 − cosine of the outputs when this layer alone is in 8 bits; rings stayed in float",
                  sensitivity_plot(q, i), " wide");
    out += "<details><summary>The layers as a table</summary>\n" + to_html(tables.quantizations[i]) + "</details>\n";
    if (!q.calibration_hash.empty())
      out += "<p class=\"meta\">Calibration hash " + xml(q.calibration_hash) + "</p>\n";
  }
  return out;
}

std::string runs(const Data& data, const Tables& tables) {
  std::vector<std::string> warnings;
  for (const Run& run : data.runs)
    for (const std::string& warning : run.warnings) warnings.push_back(run.label + ": " + warning);
  return (data.runs.empty() ? "" : to_html(tables.runs)) + notes(warnings);
}

}  // namespace

std::string render_html(const Data& data, const Recommendation& r, const Tables& tables) {
  const std::string model = xml(model_name(data));
  std::string out =
      "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta "
      "charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"generator\" "
      "content=\"Vitrail\"/>\n<title>Vitrail report: " +
      model + "</title>\n<style>" + kStyle + "</style>\n</head>\n<body>\n";
  out += fmt::format(
      "<header>\n<div class=\"brand\">{}<span>Vitrail report</span></div>\n<h1>{}</h1>\n<p "
      "class=\"meta\">{}</p>\n"
      "</header>\n<main>\n",
      kLogo, model, xml(subtitle(data)));
  out += "<div class=\"card advice\"><small>Recommendation</small><p>" + xml(r.headline) + "</p>" +
         notes(r.notes) + "</div>\n";
  out += tiles(data, r);
  out += section("Speed", speed(data, r, tables));
  out += section("Latency", latency(data, r, tables));
  if (!tables.device.rows.empty()) out += section("Device", to_html(tables.device));
  if (!data.runs.empty()) out += section("Memory", to_html(tables.memory));
  out += section("Accuracy", accuracy(data, tables));
  out += section("Quantization", quantization(data, tables));
  out += section("Time by layer", layers(data, r, tables));
  out += section("Runs", runs(data, tables));
  return out +
         "<footer>Made by Vitrail. This page is one file: no scripts, nothing "
         "fetched.</footer>\n</main>\n</body>\n</html>\n";
}

}  // namespace vitrail::report
