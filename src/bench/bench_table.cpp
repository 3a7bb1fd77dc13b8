// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "bench/bench.h"
#include "core/text_table.h"

namespace vitrail {
namespace {

std::string ms(double microseconds) { return fmt::format("{:.3f}", microseconds / 1e3); }
std::string mib(int64_t bytes) { return fmt::format("{:.1f}", static_cast<double>(bytes) / (1 << 20)); }

}  // namespace

std::string to_table(const BenchReport& report) {
  TextTable table({"batch", "mean ms", "median", "p90", "p95", "p99", "min", "max", "CV %", "images/s",
                   "GFLOP/s", "of peak", "peak MiB", "planned MiB", "runs"});
  for (const BenchResult& r : report.results) {
    const Statistics& l = r.latency;
    table.add_row(
        {fmt::format("{}", r.batch), ms(l.mean), ms(l.median), ms(l.p90), ms(l.p95), ms(l.p99), ms(l.min),
         ms(l.max), fmt::format("{:.1f}", l.cv * 100), fmt::format("{:.1f}", r.images_per_second),
         r.gflops ? fmt::format("{:.1f}", *r.gflops) : "–",
         r.peak_fraction ? fmt::format("{:.0f} %", *r.peak_fraction * 100) : "–", mib(r.peak_rss_bytes),
         mib(r.planned_bytes), fmt::format("{}{}", r.iterations, r.shortened ? " (shortened)" : "")});
  }
  std::string out;
  if (!report.results.empty()) {
    const BenchResult& r = report.results.front();
    out = fmt::format("{} · {} · {} stream{} × {} thread{}\n", report.label,
                      report.isa.empty() ? "isa unknown" : report.isa, r.streams, r.streams == 1 ? "" : "s",
                      r.threads, r.threads == 1 ? "" : "s");
  }
  out += table.str();
  for (const std::string& warning : report.warnings) out += fmt::format("warning: {}\n", warning);
  return printable(std::move(out));
}

std::string layer_table(const BenchResult& result, size_t rows) {
  std::vector<size_t> order(result.layers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(
      order, [&](size_t a, size_t b) { return result.layers[a].median_us > result.layers[b].median_us; });
  TextTable table({"layer", "op", "stage", "kernel", "median µs", "share", "GFLOP/s"});
  for (size_t i = 0; i < std::min(rows, order.size()); ++i) {
    const LayerTime& l = result.layers[order[i]];
    table.add_row({l.name, l.op, l.stage, l.kernel, fmt::format("{:.1f}", l.median_us),
                   fmt::format("{:.1f} %", l.share * 100),
                   l.gflops > 0 ? fmt::format("{:.1f}", l.gflops) : "–"});
  }
  std::string out = fmt::format("Layers at batch {}, slowest first\n{}", result.batch, table.str());
  if (rows < order.size()) out += fmt::format("… and {} more\n", order.size() - rows);
  return out;
}

}  // namespace vitrail
