// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "report/format.h"
#include "report/render.h"

namespace vitrail::report {
namespace {

std::string speed_and_memory(const Tables& tables) {
  std::string out = "\n## Speed\n\n";
  for (const Table& table : tables.protocol) out += to_markdown(table);
  for (const Table& table : tables.percentiles) out += to_markdown(table);
  if (!tables.device.rows.empty()) out += to_markdown(tables.device);
  return out + "## Memory\n\n" + to_markdown(tables.memory);
}

}  // namespace

std::string render_markdown(const Data& data, const Recommendation& r, const Tables& tables) {
  std::string out =
      "# Vitrail report: " + markdown(model_name(data)) + "\n\n**" + markdown(r.headline) + "**\n\n";
  if (r.run) {
    out += fmt::format("- Recommended batch: {} (smallest with {} of the best throughput)\n", r.batch,
                       percent(kKneeShare));
    out += fmt::format("- Best throughput: batch {}\n- Lowest latency: batch {}\n", r.throughput_batch,
                       r.latency_batch);
    out += fmt::format("- Verified: {}\n", r.verified == Verified::kPassed ? "passed" : "not verified");
  }
  for (const std::string& note : r.notes) out += "- " + markdown(note) + "\n";
  if (!data.runs.empty()) out += speed_and_memory(tables);
  out += "\n## Accuracy\n\n";
  if (data.verifications.empty()) out += "Not measured.\n\n";
  for (size_t i = 0; i < data.verifications.size(); ++i) {
    out += markdown(verdict(data.verifications[i])) + "\n\n";
    for (const std::string& failure : data.verifications[i].failures) out += "- " + markdown(failure) + "\n";
    for (const Table& table : tables.accuracy[i]) out += to_markdown(table);
  }
  if (!tables.quantizations.empty() || !tables.comparisons.empty()) out += "## Quantization\n\n";
  for (const Table& table : tables.comparisons) out += to_markdown(table);
  for (size_t i = 0; i < tables.quantizations.size(); ++i)
    out += markdown(verdict(data.quantizations[i])) + "\n\n" + to_markdown(tables.quantizations[i]);
  if (!tables.layers.empty()) out += "## Time by layer\n\n";
  for (const Table& table : tables.layers) out += to_markdown(table);
  if (!data.runs.empty()) out += "## Runs\n\n" + to_markdown(tables.runs);
  for (const Run& run : data.runs)
    for (const std::string& warning : run.warnings) out += "- " + markdown(run.label + ": " + warning) + "\n";
  return out;
}

}  // namespace vitrail::report
