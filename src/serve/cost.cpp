// SPDX-License-Identifier: Apache-2.0
#include "serve/cost.h"

#include <algorithm>
#include <iterator>

namespace vitrail::serve {
namespace {

constexpr double kNearly = 0.97;  // less is noise of the measurement
constexpr int64_t kMemory = 32;   // batches

}  // namespace

void CostTable::learn(int64_t rows, int64_t nanoseconds) {
  Seen& seen = seen_[rows];
  seen.batches = std::min(seen.batches + 1, kMemory);
  seen.ns += (static_cast<double>(nanoseconds) - seen.ns) / static_cast<double>(seen.batches);
}

double CostTable::at(int64_t rows) const {
  if (seen_.empty() || rows <= 0) return 0;
  const auto above = seen_.lower_bound(rows);
  const auto scaled = [&](auto it) { return it->second.ns * static_cast<double>(rows) / static_cast<double>(it->first); };
  if (above == seen_.end()) return scaled(std::prev(above));
  if (above->first == rows || above == seen_.begin()) return scaled(above);
  const auto below = std::prev(above);
  const double share = static_cast<double>(rows - below->first) / static_cast<double>(above->first - below->first);
  return below->second.ns + share * (above->second.ns - below->second.ns);
}

double CostTable::gain(int64_t rows, int64_t most) const {
  double best = 0;
  for (int64_t m = rows + 1; m <= most; ++m) best = std::max(best, at(rows) + at(m - rows) - at(m));
  return best;
}

int64_t CostTable::enough(int64_t most) const {
  double best = 0;
  for (const auto& [rows, seen] : seen_)
    if (rows <= most && seen.ns > 0) best = std::max(best, static_cast<double>(rows) / seen.ns);
  for (const auto& [rows, seen] : seen_)
    if (rows < seen_.rbegin()->first && static_cast<double>(rows) >= kNearly * best * seen.ns) return std::min(rows, most);
  return most;
}

}  // namespace vitrail::serve
