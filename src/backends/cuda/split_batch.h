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

// The sizes of the buckets, largest first, that run n rows in the least time; the last may hold more rows
// than are left, which are then padding. Empty when there are no buckets or n < 1.
std::vector<int64_t> split_batch(int64_t n, std::span<const Bucket> buckets);

}  // namespace vitrail::cuda
