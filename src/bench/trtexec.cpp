// SPDX-License-Identifier: Apache-2.0
#include "bench/trtexec.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

namespace vitrail {
namespace {

std::string line(std::string_view name, std::vector<double> us, const std::vector<double>& percentiles) {
  std::ranges::sort(us);
  const Statistics s = summarize(us);
  std::string out = fmt::format("{}: min = {:.6g} ms, max = {:.6g} ms, mean = {:.6g} ms, median = {:.6g} ms",
                                name, s.min / 1e3, s.max / 1e3, s.mean / 1e3, s.median / 1e3);
  for (double p : percentiles)
    out += fmt::format(", percentile({:g}%) = {:.6g} ms", p,
                       us[static_cast<size_t>(percentile_index(static_cast<int64_t>(us.size()), p))] / 1e3);
  return out + "\n";
}

}  // namespace

std::string trtexec_summary(const BenchResult& result, const std::vector<double>& percentiles) {
  if (result.samples.empty()) return "";
  std::vector<double> latency, h2d, compute, d2h;
  int64_t begin = result.samples[0].begin_ns, end = result.samples[0].end_ns;
  for (const Sample& s : result.samples) {
    latency.push_back(s.microseconds());
    begin = std::min(begin, s.begin_ns);
    end = std::max(end, s.end_ns);
    if (!s.on_device()) continue;
    h2d.push_back(static_cast<double>(s.h2d_us));
    compute.push_back(static_cast<double>(s.compute_us));
    d2h.push_back(static_cast<double>(s.d2h_us));
  }
  const double wall = static_cast<double>(end - begin) * 1e-9;
  std::string out = "=== Performance summary ===\n";
  out += fmt::format("Throughput: {:.6g} qps\n", static_cast<double>(latency.size()) / wall);
  out += line("Latency", latency, percentiles);
  if (!compute.empty()) {
    out += line("H2D Latency", h2d, percentiles);
    out += line("GPU Compute Time", compute, percentiles);
    out += line("D2H Latency", d2h, percentiles);
  }
  out += fmt::format("Total Host Walltime: {:.6g} s\n", wall);
  if (!compute.empty())
    out += fmt::format("Total GPU Compute Time: {:.6g} s\n",
                       std::accumulate(compute.begin(), compute.end(), 0.0) * 1e-6);
  const Statistics c = summarize(compute);
  if (c.cv > 0.025)
    out +=
        fmt::format("* GPU compute time is unstable, with coefficient of variance = {:.4g}%.\n", c.cv * 100);
  if (!compute.empty() && (summarize(h2d).median >= c.median || summarize(d2h).median >= c.median))
    out +=
        "* Throughput may be bound by host-to-device or device-to-host transfers, for a copy takes as long "
        "as the compute.\n";
  return out;
}

nlohmann::ordered_json trtexec_profile(const BenchResult& result) {
  auto rows = nlohmann::ordered_json::array();
  rows.push_back({{"count", 1}});
  for (const LayerTime& l : result.layers)
    rows.push_back({{"name", l.name},
                    {"timeMs", l.median_us / 1e3},
                    {"averageMs", l.median_us / 1e3},
                    {"medianMs", l.median_us / 1e3},
                    {"percentage", l.share * 100}});
  return rows;
}

}  // namespace vitrail
