// SPDX-License-Identifier: Apache-2.0
#include "bench/warnings.h"

#include <fmt/format.h>

#include <algorithm>

namespace vitrail {
namespace {

constexpr double kMaxCv = 0.025;     // trtexec warns at the same figure
constexpr int64_t kMinForP99 = 100;  // below, p99 is the maximum by the index rule

}  // namespace

void add_warnings(BenchReport& report) {
  auto warn = [&](std::string text) { report.warnings.push_back(std::move(text)); };
  for (const BenchResult& r : report.results) {
    if (r.latency.cv > kMaxCv)
      warn(fmt::format(
          "batch {}: latencies spread by {:.1f} % (coefficient of variation; steady is under {:.1f} %); "
          "close other programs or fix the clock rate",
          r.batch, r.latency.cv * 100, kMaxCv * 100));
    if (r.device && std::max(r.device->h2d.median, r.device->d2h.median) >= r.device->compute.median)
      warn(fmt::format(
          "batch {}: copying to or from the device ({:.3f} and {:.3f} ms) takes as long as computing "
          "({:.3f} ms); build with --input uint8 or run several streams",
          r.batch, r.device->h2d.median / 1e3, r.device->d2h.median / 1e3, r.device->compute.median / 1e3));
    const bool few = r.iterations < kMinForP99;
    if (r.shortened)
      warn(fmt::format("batch {}: shortened by --max-seconds to {} of {} iterations{}", r.batch, r.iterations,
                       report.iterations * r.streams, few ? ", too few for a p99: it is the maximum" : ""));
    else if (few)
      warn(fmt::format("batch {}: {} iteration{} too few for a p99: it is the maximum", r.batch, r.iterations,
                       r.iterations == 1 ? " is" : "s are"));
    if (r.peak_fraction && *r.peak_fraction > 1)
      warn(fmt::format(
          "batch {}: {:.0f} % of the measured peak; the peak was measured too low, measure it again on "
          "an idle machine",
          r.batch, *r.peak_fraction * 100));
  }
  if (!report.results.empty()) {
    const BenchResult& r = report.results.front();
    if (int64_t{r.streams} * r.threads > report.machine.cores)
      warn(
          fmt::format("{} streams of {} threads share {} cores", r.streams, r.threads, report.machine.cores));
    if (!report.peak_rss_resettable)
      warn(
          "the kernel does not reset the peak of resident memory; peak_rss_bytes counts from the process's "
          "start");
  }
  if (!report.machine.governor.empty() && report.machine.governor != "performance")
    warn(fmt::format("the clock governor is \"{}\"; \"performance\" gives steadier figures",
                     report.machine.governor));
  if (report.cancelled) warn("interrupted; the figures are of what was run until then");
}

}  // namespace vitrail
