// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/split_batch.h"

#include <gtest/gtest.h>

#include <numeric>

namespace vitrail::cuda {
namespace {

const std::vector<Bucket> kBuckets{{1, 10}, {2, 12}, {4, 16}, {8, 24}};

std::vector<int64_t> split_batch(int64_t n, const std::vector<Bucket>& buckets) {
  const BatchSplitter splitter(14, buckets);
  std::vector<int64_t> room(splitter.most_runs());
  const auto runs = splitter.split(n, room);
  return {runs.begin(), runs.end()};
}

double cost_of(const std::vector<int64_t>& runs, const std::vector<Bucket>& buckets) {
  double cost = 0;
  for (int64_t size : runs)
    for (const Bucket& b : buckets)
      if (b.size == size) cost += b.cost_us;
  return cost;
}

// The least over every multiset of buckets that holds n rows.
double least(int64_t n, const std::vector<Bucket>& buckets) {
  if (n <= 0) return 0;
  double best = 1e300;
  for (const Bucket& b : buckets) best = std::min(best, b.cost_us + least(n - b.size, buckets));
  return best;
}

TEST(SplitBatch, ABucketIsRunAsItIs) {
  for (const Bucket& b : kBuckets) EXPECT_EQ(split_batch(b.size, kBuckets), std::vector<int64_t>{b.size});
}

TEST(SplitBatch, PadsWhereThatIsCheaperThanTwoRuns) {
  EXPECT_EQ(split_batch(3, kBuckets), std::vector<int64_t>{4});
  EXPECT_EQ(split_batch(5, kBuckets), std::vector<int64_t>{8});
}

TEST(SplitBatch, CutsWhereRowsAreDear) {
  const std::vector<Bucket> dear{{1, 10}, {2, 20}, {4, 40}, {8, 80}};
  EXPECT_EQ(cost_of(split_batch(5, dear), dear), 50);
  EXPECT_EQ(split_batch(6, dear), (std::vector<int64_t>{4, 2}));
}

TEST(SplitBatch, IsTheLeastTimeAndOnlyTheLastIsPadded) {
  const std::vector<Bucket> uneven{{1, 7}, {2, 8}, {3, 14}, {6, 19}};
  for (const auto& buckets : {kBuckets, uneven})
    for (int64_t n = 1; n <= 14; ++n) {
      const auto runs = split_batch(n, buckets);
      EXPECT_EQ(cost_of(runs, buckets), least(n, buckets)) << n;
      const int64_t rows = std::accumulate(runs.begin(), runs.end(), int64_t{0});
      EXPECT_GE(rows, n);
      EXPECT_LT(rows - runs.back(), n);
      EXPECT_TRUE(std::is_sorted(runs.rbegin(), runs.rend()));
    }
}

TEST(SplitBatch, RoomIsWhatTheLongestNeeds) {
  const std::vector<Bucket> dear{{1, 10}, {2, 20}, {4, 40}, {8, 80}};
  EXPECT_EQ(BatchSplitter(15, dear).most_runs(), 4u);  // 8 + 4 + 2 + 1
  EXPECT_EQ(BatchSplitter(15, std::vector<Bucket>{{1, 1}}).most_runs(), 15u);
  EXPECT_EQ(BatchSplitter(15, {}).most_runs(), 0u);
}

TEST(SplitBatch, NothingForNothing) {
  EXPECT_TRUE(split_batch(0, kBuckets).empty());
  EXPECT_TRUE(split_batch(-1, kBuckets).empty());
  EXPECT_TRUE(split_batch(15, kBuckets).empty()) << "more than the splitter was made for";
  EXPECT_TRUE(split_batch(3, {}).empty());
}

}  // namespace
}  // namespace vitrail::cuda
