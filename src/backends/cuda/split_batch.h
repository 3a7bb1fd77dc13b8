// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vitrail::cuda {

// A batch size that is ready to run and what one run of it takes.
struct Bucket {
  int64_t size = 0;
  double cost_us = 0;
};

// Cuts batches of up to max_batch rows into runs of buckets that take the least time together. All of it is
// worked out here, so that cutting allocates nothing.
class BatchSplitter {
 public:
  BatchSplitter() = default;
  BatchSplitter(int64_t max_batch, std::span<const Bucket> buckets);

  size_t most_runs() const { return most_runs_; }  // of any batch
  // The sizes of the runs, largest first, in `room` of at least most_runs(); the last may hold more rows than
  // are left, which are then padding. Empty when there are no buckets or n is not in 1 … max_batch.
  std::span<const int64_t> split(int64_t n, std::span<int64_t> room) const;

 private:
  std::vector<int64_t> first_;  // by rows that are left: the bucket to run next; 0 for none
  size_t most_runs_ = 0;
};

}  // namespace vitrail::cuda
