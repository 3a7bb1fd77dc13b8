// SPDX-License-Identifier: Apache-2.0
#include "core/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace vitrail {
namespace {

std::vector<double> sorted(std::span<const double> values) {
  std::vector<double> out(values.begin(), values.end());
  std::ranges::sort(out);
  return out;
}

}  // namespace

int64_t percentile_index(int64_t n, double p) {
  // The nudge keeps (100 - 99.9) * 1000 / 100, which is a hair under 1 in binary, from counting as 0.
  const auto above = static_cast<int64_t>((100.0 - p) * static_cast<double>(n) / 100.0 + 1e-9);
  return std::clamp<int64_t>(n - 1 - above, 0, n - 1);
}

Statistics summarize(std::span<const double> values) {
  Statistics s;
  if (values.empty()) return s;
  const std::vector<double> v = sorted(values);
  const size_t n = v.size();
  auto at = [&](double p) { return v[static_cast<size_t>(percentile_index(static_cast<int64_t>(n), p))]; };
  s.count = static_cast<int64_t>(n);
  s.min = v.front();
  s.max = v.back();
  s.median = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
  s.p90 = at(90);
  s.p95 = at(95);
  s.p99 = at(99);
  s.mean = std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(n);
  double squares = 0;
  for (double x : v) squares += (x - s.mean) * (x - s.mean);
  s.stddev = std::sqrt(squares / static_cast<double>(n));
  s.cv = s.mean > 0 ? s.stddev / s.mean : 0;
  return s;
}

std::vector<double> quantiles(std::span<const double> values, int64_t points) {
  const std::vector<double> v = sorted(values);
  const auto count = std::min<size_t>(v.size(), static_cast<size_t>(std::max<int64_t>(points, 0)));
  std::vector<double> out;
  for (size_t i = 0; i < count; ++i) {
    const double rank = count == 1 ? 0.5 : static_cast<double>(i) / static_cast<double>(count - 1);
    out.push_back(v[static_cast<size_t>(std::lround(rank * static_cast<double>(v.size() - 1)))]);
  }
  return out;
}

}  // namespace vitrail
