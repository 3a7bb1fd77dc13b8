// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/split_batch.h"

#include <algorithm>
#include <functional>
#include <limits>

namespace vitrail::cuda {

BatchSplitter::BatchSplitter(int64_t max_batch, std::span<const Bucket> buckets)
    : first_(static_cast<size_t>(std::max<int64_t>(max_batch, 0)) + 1, 0) {
  // best[r]: the least time for r rows. The order of the runs does not matter, so padding is in the last.
  std::vector<double> best(first_.size(), std::numeric_limits<double>::infinity());
  std::vector<size_t> runs(first_.size(), 0);
  best[0] = 0;
  for (int64_t rows = 1; rows <= max_batch; ++rows) {
    const auto at = static_cast<size_t>(rows);
    for (const Bucket& b : buckets) {
      if (b.size < 1) continue;
      const auto left = static_cast<size_t>(std::max<int64_t>(0, rows - b.size));
      const double cost = b.cost_us + best[left];
      // Of equal times the larger bucket: fewer launches.
      if (cost > best[at] || (cost == best[at] && b.size <= first_[at])) continue;
      best[at] = cost;
      first_[at] = b.size;
      runs[at] = runs[left] + 1;
    }
    most_runs_ = std::max(most_runs_, runs[at]);
  }
}

std::span<const int64_t> BatchSplitter::split(int64_t n, std::span<int64_t> room) const {
  if (n >= std::ssize(first_)) return {};
  size_t count = 0;
  for (int64_t rows = n; rows > 0 && first_[static_cast<size_t>(rows)] > 0; ++count) {
    room[count] = first_[static_cast<size_t>(rows)];
    rows -= room[count];
  }
  // With padding in the middle a smaller one would follow it: the largest go first, so the last takes what is
  // left.
  const auto sizes = room.first(count);
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  return sizes;
}

}  // namespace vitrail::cuda
