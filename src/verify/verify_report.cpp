// SPDX-License-Identifier: Apache-2.0
#include "verify/verify_report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/text_table.h"

namespace vitrail {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no infinity; null stands for it.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json number(const std::optional<double>& value) { return value ? number(*value) : Json(nullptr); }

Json error_json(const TensorError& e) {
  return {{"name", e.name},
          {"max_abs", number(e.max_abs)},
          {"mean_abs", number(e.mean_abs)},
          {"max_rel", number(e.max_rel)},
          {"cosine", number(e.cosine)},
          {"min_cosine", number(e.min_cosine)},
          {"max_scaled", number(e.max_scaled)},
          {"psnr", number(e.psnr)},
          {"count", e.count},
          {"non_finite", e.non_finite},
          {"worst",
           {{"sample", e.worst_sample},
            {"index", e.worst_index},
            {"got", number(e.got)},
            {"want", number(e.want)}}}};
}

std::string percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.2f} %", *share * 100) : "–";
}

std::vector<std::string> cells(const TensorError& e) {
  return {fmt::format("{:.2e}", e.max_abs), fmt::format("{:.2e}", e.mean_abs),
          fmt::format("{:.2e}", e.max_scaled), fmt::format("{:.8f}", e.min_cosine),
          e.psnr == HUGE_VAL ? "exact" : fmt::format("{:.1f}", e.psnr)};
}

}  // namespace

void judge(VerifyReport& report) {
  const Tolerance& t = report.tolerance;
  report.failures.clear();
  for (OutputError& o : report.outputs) {
    const size_t before = report.failures.size();
    auto fail = [&](std::string reason) {
      report.failures.push_back(fmt::format("output '{}': {}", o.name, reason));
    };
    if (o.non_finite > 0)
      fail(fmt::format("{} elements are NaN or infinite (first in sample {} at {}: got {:.6g}, want {:.6g})",
                       o.non_finite, o.worst_sample, to_string(o.worst_index), o.got, o.want));
    else if (!(o.max_scaled <= t.max_scaled))
      fail(fmt::format(
          "greatest error {:.3g} of the greatest value, allowed {:.3g} (sample {} at {}: got {:.6g}, "
          "want {:.6g})",
          o.max_scaled, t.max_scaled, o.worst_sample, to_string(o.worst_index), o.got, o.want));
    if (o.min_cosine < t.min_cosine)
      fail(fmt::format("least cosine {:.7f}, allowed {:.7f}", o.min_cosine, t.min_cosine));
    if (o.top1_agreement && *o.top1_agreement < t.min_top1)
      fail(fmt::format("top-1 agrees on {}, at least {} wanted", percent(o.top1_agreement),
                       percent(t.min_top1)));
    o.passed = report.failures.size() == before;
  }
  for (const BatchInvariance& b : report.batch_invariant) {
    if (!(b.max_scaled <= t.max_scaled))
      report.failures.push_back(
          fmt::format("batch {} differs from batch {} by {:.3g} of the greatest value, allowed {:.3g}: rows "
                      "depend on their "
                      "neighbours",
                      b.batch, b.base_batch, b.max_scaled, t.max_scaled));
  }
  if (report.samples == 0 || report.outputs.empty()) report.failures.push_back("nothing was compared");
  report.passed = report.failures.empty();
}

Json to_json(const VerifyReport& r) {
  Json json = {{"schema", "vitrail.verify/1"},
               {"kind", "verify"},
               {"passed", r.passed},
               {"failures", r.failures},
               {"model", r.model},
               {"engine_hash", r.engine_hash},
               {"precision", r.precision},
               {"backend", r.backend},
               {"isa", r.isa},
               {"subject", r.subject},
               {"reference", r.reference},
               {"samples", r.samples},
               {"dataset", r.dataset},
               {"dataset_hash", r.dataset_hash},
               {"timestamp", r.timestamp},
               {"tolerance",
                {{"max_scaled", r.tolerance.max_scaled},
                 {"min_cosine", r.tolerance.min_cosine},
                 {"min_top1", r.tolerance.min_top1}}},
               {"outputs", Json::array()},
               {"stages", Json::array()},
               {"batch_invariant", Json::array()}};
  if (const auto quantization = Json::parse(r.quantization_json, nullptr, false); quantization.is_object())
    json["quantization"] = quantization;
  for (const OutputError& o : r.outputs) {
    Json output = error_json(o);
    output["top1_agreement"] = number(o.top1_agreement);
    output["top5_agreement"] = number(o.top5_agreement);
    output["passed"] = o.passed;
    json["outputs"].push_back(std::move(output));
  }
  for (const StageError& s : r.stages) {
    Json stage = error_json(s);
    stage["name"] = s.stage;
    stage["value"] = s.name;
    json["stages"].push_back(std::move(stage));
  }
  for (const BatchInvariance& b : r.batch_invariant) {
    json["batch_invariant"].push_back({{"batch", b.batch},
                                       {"base_batch", b.base_batch},
                                       {"bit_identical", b.bit_identical},
                                       {"max_abs", number(b.max_abs)},
                                       {"max_scaled", number(b.max_scaled)}});
  }
  return json;
}

std::string to_json_text(const VerifyReport& report) {
  return to_json(report).dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::string to_table(const VerifyReport& report) {
  TextTable table({"", "max abs", "mean abs", "of max", "least cosine", "PSNR dB", "top-1", "top-5"});
  for (const StageError& s : report.stages) {
    std::vector<std::string> row = cells(s);
    row.insert(row.begin(), s.stage);
    table.add_row(std::move(row));
  }
  for (const OutputError& o : report.outputs) {
    std::vector<std::string> row = cells(o);
    row.insert(row.begin(), "output " + o.name);
    row.push_back(percent(o.top1_agreement));
    row.push_back(percent(o.top5_agreement));
    table.add_row(std::move(row));
  }
  std::string out = table.str();
  for (const BatchInvariance& b : report.batch_invariant) {
    out +=
        b.bit_identical
            ? fmt::format("batch {} is bit-identical to batch {}\n", b.batch, b.base_batch)
            : fmt::format("batch {} differs from batch {} by at most {:.2e} ({:.2e} of the greatest value)\n",
                          b.batch, b.base_batch, b.max_abs, b.max_scaled);
  }
  for (const std::string& failure : report.failures) out += "failed: " + failure + '\n';
  out +=
      fmt::format("{}: {} against {}, {} sample{} ({}), tolerance {:.0e} of the greatest value, cosine {}\n",
                  report.passed ? "passed" : "FAILED", report.subject, report.reference, report.samples,
                  report.samples == 1 ? "" : "s", report.dataset, report.tolerance.max_scaled,
                  report.tolerance.min_cosine);
  return printable(std::move(out));
}

}  // namespace vitrail
