// SPDX-License-Identifier: Apache-2.0
#include "serve/queue_policy.h"

#include <gtest/gtest.h>

namespace vitrail::serve {
namespace {

constexpr int64_t kMs = 1'000'000;
using Kind = Decision::Kind;

Waiting of(int priority, bool delayed = false) { return {0, kNever, 1, priority, false, delayed}; }

TEST(QueuePolicy, ARequestMayShortenItsTimeoutWhereItIsAllowed) {
  EXPECT_EQ(timeout_ns({}, 0), 0);
  EXPECT_EQ(timeout_ns({}, 7), 7);
  QueuePolicy policy{false, 5 * kMs, true, 8};
  EXPECT_EQ(timeout_ns(policy, 0), 5 * kMs);
  EXPECT_EQ(timeout_ns(policy, 3 * kMs), 3 * kMs);
  EXPECT_EQ(timeout_ns(policy, 9 * kMs), 5 * kMs);
  policy.allow_timeout_override = false;
  EXPECT_EQ(timeout_ns(policy, 3 * kMs), 5 * kMs);
}

TEST(QueuePolicy, EachPriorityHasItsOwn) {
  QueuePolicies policies{{false, 0, true, 4}, {{2, {true, kMs, false, 1}}}};
  EXPECT_EQ(policies.of(1).max_queue, 4u);
  EXPECT_EQ(policies.of(2).max_queue, 1u);
  const std::vector<Waiting> queue{of(1), of(1), of(2)};
  EXPECT_EQ(waiting_at(queue, 1), 2u);
  EXPECT_EQ(waiting_at(queue, 3), 0u);
}

TEST(QueuePolicy, ADelayedRequestGoesBehindItsLikeAndBeforeLowerPriorities) {
  const std::vector<Waiting> queue{of(1), of(1, true), of(2), of(2), of(2, true), of(3)};
  EXPECT_EQ(place_of(queue, 1, false), 1u);
  EXPECT_EQ(place_of(queue, 1, true), 2u);
  EXPECT_EQ(place_of(queue, 2, false), 4u);
  EXPECT_EQ(place_of(queue, 2, true), 5u);
  EXPECT_EQ(place_of(queue, 3, false), 6u);
  EXPECT_EQ(place_of({}, 5, true), 0u);
}

TEST(QueuePolicy, TheDeadlinesActionIsTheRequestsOwn) {
  std::vector<Waiting> queue{of(1), of(2)};
  queue[0].deadline_ns = queue[1].deadline_ns = 5 * kMs;
  queue[1].delays = true;
  EXPECT_EQ(decide(queue, 5 * kMs, {}), (Decision{Kind::kReject, 0, 0, 0}));
  queue[0].deadline_ns = kNever;
  EXPECT_EQ(decide(queue, 5 * kMs, {}), (Decision{Kind::kDelay, 0, 0, 1}));
  EXPECT_EQ(first_due(queue, 5 * kMs), (Decision{Kind::kDelay, 0, 0, 1}));
  EXPECT_EQ(first_due(queue, 5 * kMs - 1), Decision{});
}

}  // namespace
}  // namespace vitrail::serve
