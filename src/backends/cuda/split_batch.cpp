// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/split_batch.h"

#include <algorithm>
#include <limits>

namespace vitrail::cuda {

std::vector<int64_t> split_batch(int64_t n, std::span<const Bucket> buckets) {
  if (n < 1 || buckets.empty()) return {};
  // best[r]: the least time for r rows. The order of the runs does not matter, so padding is in the last.
  std::vector<double> best(static_cast<size_t>(n) + 1, std::numeric_limits<double>::infinity());
  std::vector<int64_t> first(best.size(), 0);
  best[0] = 0;
  for (int64_t rows = 1; rows <= n; ++rows)
    for (const Bucket& b : buckets) {
      if (b.size < 1) continue;
      const double cost = b.cost_us + best[static_cast<size_t>(std::max<int64_t>(0, rows - b.size))];
      // Of equal times the larger bucket: fewer launches.
      auto& known = best[static_cast<size_t>(rows)];
      auto& size = first[static_cast<size_t>(rows)];
      if (cost < known || (cost == known && b.size > size)) known = cost, size = b.size;
    }
  std::vector<int64_t> sizes;
  for (int64_t rows = n; rows > 0 && first[static_cast<size_t>(rows)] > 0;
       rows -= first[static_cast<size_t>(rows)])
    sizes.push_back(first[static_cast<size_t>(rows)]);
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  // With padding in the middle a smaller one would follow it: the largest go first, so the last takes what is
  // left.
  return sizes;
}

}  // namespace vitrail::cuda
