// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vitrail {

// Figures of one sample of measurements, in the unit of the measurements.
struct Statistics {
  int64_t count = 0;
  double min = 0, mean = 0, median = 0, p90 = 0, p95 = 0, p99 = 0, max = 0;
  double stddev = 0;  // of the population (divided by n)
  double cv = 0;      // coefficient of variation: stddev / mean
};

// Index of the p-th percentile among n sorted values: max(n-1-int((1-p/100)n), 0), the rule of trtexec. n
// >= 1.
int64_t percentile_index(int64_t n, double p);

// All zero for an empty sample. The median of an even count is the mean of the two in the middle.
Statistics summarize(std::span<const double> values);

// `points` values at evenly spaced ranks of the sorted sample, the least first and the greatest last: the
// distribution in bounded space. At most as many points as values; empty for an empty sample.
std::vector<double> quantiles(std::span<const double> values, int64_t points);

}  // namespace vitrail
