// SPDX-License-Identifier: Apache-2.0
#include "serve/cost.h"

#include <algorithm>
#include <iterator>

namespace vitrail::serve {
namespace {

constexpr double kNearly = 0.98;  // less is noise of the measurement

}  // namespace

void CostTable::learn(int64_t rows, int64_t nanoseconds) {
  const auto ns = static_cast<double>(nanoseconds);
  const auto [it, first] = seen_.try_emplace(rows, ns);
  if (!first) it->second += (ns - it->second) / 10;
}

double CostTable::at(int64_t rows) const {
  if (seen_.empty() || rows <= 0) return 0;
  const auto above = seen_.lower_bound(rows);
  const auto scaled = [&](auto it) { return it->second * static_cast<double>(rows) / static_cast<double>(it->first); };
  if (above == seen_.end()) return scaled(std::prev(above));
  if (above->first == rows || above == seen_.begin()) return scaled(above);
  const auto below = std::prev(above);
  const double share = static_cast<double>(rows - below->first) / static_cast<double>(above->first - below->first);
  return below->second + share * (above->second - below->second);
}

double CostTable::gain(int64_t rows, int64_t most) const {
  double best = 0;
  for (int64_t m = rows + 1; m <= most; ++m) best = std::max(best, at(rows) + at(m - rows) - at(m));
  return best;
}

int64_t CostTable::enough(int64_t most) const {
  double best = 0;
  for (const auto& [rows, ns] : seen_)
    if (rows <= most && ns > 0) best = std::max(best, static_cast<double>(rows) / ns);
  for (const auto& [rows, ns] : seen_)
    if (rows < seen_.rbegin()->first && static_cast<double>(rows) >= kNearly * best * ns) return std::min(rows, most);
  return most;
}

}  // namespace vitrail::serve
