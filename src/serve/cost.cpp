// SPDX-License-Identifier: Apache-2.0
#include "serve/cost.h"

#include <algorithm>
#include <iterator>

namespace vitrail::serve {

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

}  // namespace vitrail::serve
