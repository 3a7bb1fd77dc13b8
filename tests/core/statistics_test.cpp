// SPDX-License-Identifier: Apache-2.0
#include "core/statistics.h"

#include <gtest/gtest.h>

#include <numeric>

namespace vitrail {
namespace {

std::vector<double> one_to(int n) {
  std::vector<double> v(static_cast<size_t>(n));
  std::iota(v.rbegin(), v.rend(), 1.0);  // descending: the functions must sort
  return v;
}

TEST(PercentileIndex, FollowsTheRuleOfTrtexec) {
  EXPECT_EQ(percentile_index(1000, 99), 989);  // 1000 - 1 - 10
  EXPECT_EQ(percentile_index(1000, 90), 899);
  EXPECT_EQ(percentile_index(10, 90), 8);        // exact in decimal, a hair off in binary
  EXPECT_EQ(percentile_index(1000, 99.9), 998);  // likewise
  EXPECT_EQ(percentile_index(99, 99), 98);       // int(0.99) = 0
  EXPECT_EQ(percentile_index(5, 90), 4);
  EXPECT_EQ(percentile_index(1, 50), 0);
  EXPECT_EQ(percentile_index(10, 0), 0);  // max(…, 0)
  EXPECT_EQ(percentile_index(10, 100), 9);
}

TEST(Summarize, MatchesFiguresByHand) {
  const Statistics s = summarize(one_to(100));
  EXPECT_EQ(s.count, 100);
  EXPECT_EQ(s.min, 1);
  EXPECT_EQ(s.max, 100);
  EXPECT_DOUBLE_EQ(s.mean, 50.5);
  EXPECT_DOUBLE_EQ(s.median, 50.5);
  EXPECT_EQ(s.p90, 90);
  EXPECT_EQ(s.p95, 95);
  EXPECT_EQ(s.p99, 99);
  EXPECT_NEAR(s.stddev, 28.86607004772212, 1e-12);  // sqrt((100² - 1) / 12)
  EXPECT_NEAR(s.cv, 28.86607004772212 / 50.5, 1e-12);
}

TEST(Summarize, OddCountEmptyAndSingle) {
  EXPECT_EQ(summarize(std::vector<double>{9, 1, 4}).median, 4);
  EXPECT_EQ(summarize({}).count, 0);
  const Statistics one = summarize(std::vector<double>{7});
  EXPECT_EQ(one.p99, 7);
  EXPECT_EQ(one.stddev, 0);
}

TEST(Quantiles, SpanTheSampleInBoundedSpace) {
  const auto q = quantiles(one_to(1001), 101);
  ASSERT_EQ(q.size(), 101u);
  EXPECT_EQ(q.front(), 1);
  EXPECT_EQ(q[50], 501);
  EXPECT_EQ(q.back(), 1001);
  EXPECT_EQ(quantiles(one_to(3), 101), (std::vector<double>{1, 2, 3}));
  EXPECT_TRUE(quantiles({}, 101).empty());
}

}  // namespace
}  // namespace vitrail
