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

std::string gpu_text(const DeviceInfo& gpu) {
  std::string text = gpu.name;
  if (!gpu.driver.empty()) text += ", driver " + gpu.driver;
  if (!gpu.runtime_cuda.empty()) text += ", CUDA " + gpu.runtime_cuda;
  return text;
}

}  // namespace

std::string to_table(const BenchReport& report) {
  // Columns of a device stand where one was measured.
  const bool times = std::ranges::any_of(report.results, [](const auto& r) { return r.device.has_value(); });
  const bool memory = std::ranges::any_of(report.results, [](const auto& r) { return r.device_bytes > 0; });
  std::vector<std::string> header{"batch", "mean ms", "median", "p90",  "p95",
                                  "p99",   "min",     "max",    "CV %", "images/s"};
  if (times) header.insert(header.end(), {"GPU compute ms", "by compute"});
  header.insert(header.end(), {"GFLOP/s", "of peak"});
  if (memory) header.emplace_back("device MiB");
  header.insert(header.end(), {"peak MiB", "planned MiB", "runs"});
  TextTable table(header);
  for (const BenchResult& r : report.results) {
    const Statistics& l = r.latency;
    std::vector<std::string> row{fmt::format("{}", r.batch),
                                 ms(l.mean),
                                 ms(l.median),
                                 ms(l.p90),
                                 ms(l.p95),
                                 ms(l.p99),
                                 ms(l.min),
                                 ms(l.max),
                                 fmt::format("{:.1f}", l.cv * 100),
                                 fmt::format("{:.1f}", r.images_per_second)};
    if (times) {
      row.push_back(r.device ? ms(r.device->compute.median) : "–");
      row.push_back(r.device ? fmt::format("{:.1f}", r.device->images_per_second) : "–");
    }
    row.push_back(r.gflops ? fmt::format("{:.1f}", *r.gflops) : "–");
    row.push_back(r.peak_fraction ? fmt::format("{:.0f} %", *r.peak_fraction * 100) : "–");
    if (memory) row.push_back(r.device_bytes > 0 ? mib(r.device_bytes) : "–");
    row.insert(row.end(), {mib(r.peak_rss_bytes), mib(r.planned_bytes),
                           fmt::format("{}{}", r.iterations, r.shortened ? " (shortened)" : "")});
    table.add_row(row);
  }
  std::string out;
  if (!report.results.empty()) {
    const BenchResult& r = report.results.front();
    out = fmt::format("{} · {} · {} stream{} × {} thread{}\n", report.label,
                      report.machine.gpu    ? gpu_text(*report.machine.gpu)
                      : !report.isa.empty() ? report.isa
                                            : "isa unknown",
                      r.streams, r.streams == 1 ? "" : "s", r.threads, r.threads == 1 ? "" : "s");
  }
  out += table.str();
  for (const std::string& warning : report.warnings) out += fmt::format("warning: {}\n", warning);
  return printable(std::move(out));
}

std::string summary_lines(const BenchResult& result) {
  const auto line = [](std::string_view name, const Statistics& s) {
    return fmt::format(
        "{}: min = {} ms, max = {} ms, mean = {} ms, median = {} ms, percentile(90%) = {} ms, "
        "percentile(95%) = {} ms, percentile(99%) = {} ms\n",
        name, ms(s.min), ms(s.max), ms(s.mean), ms(s.median), ms(s.p90), ms(s.p95), ms(s.p99));
  };
  std::string out = fmt::format("Batch {}\nThroughput: {:.3f} qps\n", result.batch,
                                result.images_per_second / static_cast<double>(result.batch));
  out += line("Latency", result.latency);
  if (result.device) {
    out += line("H2D Latency", result.device->h2d);
    out += line("GPU Compute Time", result.device->compute);
    out += line("D2H Latency", result.device->d2h);
    out += fmt::format("Total GPU Compute Time: {:.5f} s\n",
                       result.device->compute.mean * static_cast<double>(result.device->compute.count) / 1e6);
  }
  return out;
}

std::string layer_table(const BenchResult& result, size_t rows) {
  std::vector<size_t> order(result.layers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(
      order, [&](size_t a, size_t b) { return result.layers[a].median_us > result.layers[b].median_us; });
  std::vector<std::string> header{"layer", "op", "stage", "median µs", "share", "GFLOP/s", "GB/s"};
  const bool library =
      std::ranges::any_of(result.layers, [](const LayerTime& l) { return l.of_library > 0; });
  if (library) header.push_back("of cuBLAS");
  header.push_back("kernel");  // last: TensorRT's names fill a line of their own
  TextTable table(header);
  for (size_t i = 0; i < std::min(rows, order.size()); ++i) {
    const LayerTime& l = result.layers[order[i]];
    std::vector<std::string> row{l.name,
                                 l.op,
                                 l.stage,
                                 fmt::format("{:.1f}", l.median_us),
                                 fmt::format("{:.1f} %", l.share * 100),
                                 l.gflops > 0 ? fmt::format("{:.1f}", l.gflops) : "–",
                                 l.gbytes_per_second > 0 ? fmt::format("{:.1f}", l.gbytes_per_second) : "–"};
    if (library) row.push_back(l.of_library > 0 ? fmt::format("{:.0f} %", l.of_library * 100) : "–");
    row.push_back(l.kernel);
    table.add_row(row);
  }
  std::string out = fmt::format("Layers at batch {}, slowest first\n{}", result.batch, table.str());
  if (rows < order.size()) out += fmt::format("… and {} more\n", order.size() - rows);
  return out;
}

}  // namespace vitrail
