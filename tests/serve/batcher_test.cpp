// SPDX-License-Identifier: Apache-2.0
#include "serve/batcher.h"

#include <gtest/gtest.h>

namespace vitrail::serve {
namespace {

constexpr int64_t kMs = 1'000'000;
using Kind = Decision::Kind;

std::vector<Waiting> queue(const std::vector<int64_t>& rows, int64_t arrival = 0) {
  std::vector<Waiting> out;
  for (int64_t r : rows) out.push_back({arrival, kNever, r});
  return out;
}

Policy policy(int64_t max_batch, int64_t max_delay_ns = 0, std::vector<int64_t> preferred = {}) {
  Policy p;
  p.max_batch = max_batch;
  p.max_delay_ns = max_delay_ns;
  p.preferred = std::move(preferred);
  return p;
}

Decision run(size_t count) { return {Kind::kRun, count, 0, 0}; }
Decision wait(int64_t ns) { return {Kind::kWait, 0, ns, 0}; }

TEST(Batcher, AnEmptyQueueWaitsForAnArrival) { EXPECT_EQ(decide({}, 5, {}), wait(kNever)); }

TEST(Batcher, WithoutDelayWhatIsThereRunsAtOnce) {
  Policy p = policy(8);
  EXPECT_EQ(decide(queue({1}), 0, p), run(1));
  EXPECT_EQ(decide(queue({1, 2, 1}), 0, p), run(3));
}

TEST(Batcher, NoMoreThanTheLargestBatch) {
  Policy p = policy(4, 10 * kMs);
  EXPECT_EQ(decide(queue({1, 2, 1, 1, 1}), 0, p), run(3));
  EXPECT_EQ(decide(queue({3, 2, 1}), 0, p), run(1));  // the order is kept: 1 does not overtake 2
  EXPECT_EQ(decide(queue({4, 1}), 0, p), run(1));
}

TEST(Batcher, WaitsForOthersUntilTheOldestHasWaitedTheDelay) {
  Policy p = policy(8, 10 * kMs);
  std::vector<Waiting> q{{2 * kMs, kNever, 1}, {7 * kMs, kNever, 1}};
  EXPECT_EQ(decide(q, 8 * kMs, p), wait(4 * kMs));
  EXPECT_EQ(decide(q, 12 * kMs, p), run(2));
  EXPECT_EQ(decide(queue({8}), 0, p), run(1));  // full
}

TEST(Batcher, APreferredSizeRunsAtOnceAndTheLargestOneFirst) {
  const Policy p = policy(8, 10 * kMs, {2, 4});
  EXPECT_EQ(decide(queue({1}), 0, p), wait(10 * kMs));
  EXPECT_EQ(decide(queue({1, 1}), 0, p), run(2));
  EXPECT_EQ(decide(queue({1, 1, 1}), 0, p), run(2));
  EXPECT_EQ(decide(queue({1, 1, 1, 1, 1}), 0, p), run(4));
  EXPECT_EQ(decide(queue({3}), 10 * kMs, p), run(1));  // no preferred one, and the delay is over
}

TEST(Batcher, RowsThatDoNotStackRunAlone) {
  Policy p = policy(8, 10 * kMs);
  p.merge = false;
  EXPECT_EQ(decide(queue({1, 1}), 0, p), run(1));
}

TEST(Batcher, WhoseTimeIsOverIsRejectedBeforeAnythingRuns) {
  std::vector<Waiting> q{{0, kNever, 1}, {0, 5 * kMs, 1}};
  EXPECT_EQ(decide(q, 5 * kMs - 1, policy(1)), run(1));
  EXPECT_EQ(decide(q, 5 * kMs, policy(1)), (Decision{Kind::kReject, 0, 0, 1}));
  EXPECT_EQ(next_deadline(q), 5 * kMs);
  EXPECT_EQ(next_deadline(queue({1})), kNever);
}

TEST(Batcher, DoesNotWaitSoLongThatADeadlineIsMissed) {
  Policy p = policy(8, 100 * kMs);
  for (int64_t rows : {1, 2, 4, 8}) p.cost.learn(rows, 10 * kMs);  // waiting gains much
  std::vector<Waiting> q{{0, 30 * kMs, 1}};
  EXPECT_EQ(decide(q, 0, p), wait(10 * kMs));  // the gain
  q[0].deadline_ns = 15 * kMs;
  EXPECT_EQ(decide(q, 0, p), wait(5 * kMs));  // 15 less the batch's 10
  EXPECT_EQ(decide(q, 5 * kMs, p), run(1));
}

TEST(Batcher, NeverWaitsLongerThanItGains) {
  Policy p = policy(4, 100 * kMs);
  p.cost.learn(1, 10 * kMs);
  p.cost.learn(2, 18 * kMs);
  p.cost.learn(4, 40 * kMs);  // no gain beyond two rows
  EXPECT_DOUBLE_EQ(p.cost.gain(1, 4), 2.0 * kMs);
  EXPECT_EQ(decide(queue({1}), 0, p), wait(2 * kMs));
  EXPECT_EQ(decide(queue({1}), 2 * kMs, p), run(1));
  p.interval_ns = 3 * kMs;  // nobody is expected within the 2 ms
  EXPECT_EQ(decide(queue({1}), 0, p), run(1));
}

TEST(Batcher, RunsInPartsWhatCostsLessInParts) {
  Policy p = policy(8);
  p.cost.learn(1, 10 * kMs);
  p.cost.learn(2, 20 * kMs);
  p.cost.learn(3, 20 * kMs);
  p.cost.learn(4, 14 * kMs);
  p.cost.learn(5, 30 * kMs);
  p.cost.learn(8, 26 * kMs);
  EXPECT_EQ(decide(queue({2, 2, 1}), 0, p), run(2));
  EXPECT_EQ(decide(queue({1, 1, 1, 1}), 0, p), run(4));
  p.preferred = {5};
  EXPECT_EQ(decide(queue({2, 2, 1}), 0, p), run(3));
}

TEST(Batcher, ABatchGrowsOnlyAsFarAsThatGains) {
  Policy p = policy(16);
  p.cost.learn(1, 10 * kMs);
  p.cost.learn(2, 16 * kMs);
  p.cost.learn(4, 32 * kMs);  // the second row gains, the third does not
  p.cost.learn(16, 132 * kMs);
  const std::vector<Waiting> twelve = queue(std::vector<int64_t>(12, 1));
  EXPECT_EQ(decide(twelve, 0, p), run(2));
  EXPECT_EQ(decide(queue({3, 1}), 0, p), run(1));  // a request stays whole
  p.explore = true;
  EXPECT_EQ(decide(twelve, 0, p), run(4));
  p.explore = false;
  p.preferred = {8};
  EXPECT_EQ(decide(twelve, 0, p), run(8));
}

TEST(Cost, EnoughIsTheLeastSizeNearTheBestRate) {
  CostTable cost;
  EXPECT_EQ(cost.enough(8), 8);
  cost.learn(1, 100);
  EXPECT_EQ(cost.enough(8), 8);  // nothing is known beyond it
  cost.learn(8, 800);
  EXPECT_EQ(cost.enough(8), 1);
  cost.learn(4, 360);
  EXPECT_EQ(cost.enough(8), 4);
  EXPECT_EQ(cost.enough(2), 1);  // sizes that may not run do not count
  cost.learn(16, 800);
  EXPECT_EQ(cost.enough(64), 64);  // the best one is the largest that was seen
}

TEST(Cost, LiesOnTheLineBetweenWhatWasSeen) {
  CostTable cost;
  EXPECT_EQ(cost.at(3), 0);
  EXPECT_EQ(cost.gain(1, 8), 0);
  cost.learn(2, 100);
  EXPECT_DOUBLE_EQ(cost.at(1), 50);
  EXPECT_DOUBLE_EQ(cost.at(8), 400);
  cost.learn(4, 160);
  EXPECT_DOUBLE_EQ(cost.at(3), 130);
  EXPECT_DOUBLE_EQ(cost.at(8), 320);
  cost.learn(4, 260);
  EXPECT_DOUBLE_EQ(cost.at(4), 210);
  for (int i = 0; i < 200; ++i) cost.learn(4, 100);  // what was long ago is forgotten
  EXPECT_NEAR(cost.at(4), 100, 1);
}

TEST(Slo, LeavesRoomForTwoBatchesAndWaitsWhatIsLeft) {
  Policy p = policy(8);
  p.cost.learn(1, 4 * kMs);
  p.cost.learn(8, 32 * kMs);
  const Policy tight = policy_for_slo(20 * kMs, p);
  EXPECT_EQ(tight.max_batch, 2);
  EXPECT_EQ(tight.max_delay_ns, 4 * kMs);
  EXPECT_EQ(policy_for_slo(kMs, p).max_batch, 1);
  EXPECT_EQ(policy_for_slo(kMs, p).max_delay_ns, 0);
  EXPECT_EQ(policy_for_slo(1000 * kMs, p).max_batch, 8);
}

TEST(Slo, ExpectsTheRowsBeforeAndItsOwn) {
  Policy p = policy(8);
  p.cost.learn(1, 4 * kMs);
  p.cost.learn(8, 16 * kMs);  // 2 ms a row
  EXPECT_DOUBLE_EQ(expected_latency_ns(0, 0, 1, 1, p), 4.0 * kMs);
  EXPECT_DOUBLE_EQ(expected_latency_ns(0, 8, 1, 1, p), 20.0 * kMs);
  EXPECT_DOUBLE_EQ(expected_latency_ns(0, 8, 1, 2, p), 12.0 * kMs);
  EXPECT_DOUBLE_EQ(expected_latency_ns(6 * kMs, 8, 1, 2, p), 15.0 * kMs);
}

}  // namespace
}  // namespace vitrail::serve
