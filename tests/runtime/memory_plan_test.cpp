// SPDX-License-Identifier: Apache-2.0
#include "runtime/memory_plan.h"

#include <gtest/gtest.h>

#include <random>

namespace vitrail {
namespace {

// What must hold of any plan for any requests.
void check(const std::vector<BufferRequest>& requests, const MemoryPlan& plan) {
  ASSERT_EQ(plan.values.size(), requests.size());
  int64_t sum = 0, end = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const PlannedValue& a = plan.values[i];
    ASSERT_EQ(a.value, requests[i].value);
    ASSERT_EQ(a.bytes, requests[i].bytes);
    ASSERT_EQ(a.first_node, requests[i].first);
    ASSERT_EQ(a.last_node, requests[i].last);
    ASSERT_GE(a.offset, 0);
    ASSERT_EQ(a.offset % kBufferAlignment, 0);
    ASSERT_LE(a.offset + a.bytes, plan.arena_bytes);
    end = std::max(end, a.offset + a.bytes);
    sum += (a.bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
    for (size_t k = 0; k < i; ++k) {
      const PlannedValue& b = plan.values[k];
      const bool same_time = a.first_node <= b.last_node && b.first_node <= a.last_node;
      const bool same_space = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
      ASSERT_FALSE(same_time && same_space) << "buffers " << k << " and " << i;
    }
  }
  EXPECT_LT(plan.arena_bytes - end, kBufferAlignment);
  EXPECT_EQ(plan.unshared_bytes, sum);
  EXPECT_LE(plan.arena_bytes, plan.unshared_bytes);
  EXPECT_GE(plan.arena_bytes, plan.lower_bound_bytes);
}

TEST(MemoryPlan, NothingNeedsNothing) {
  const MemoryPlan plan = plan_memory({});
  EXPECT_EQ(plan.total(), 0);
  EXPECT_EQ(plan.lower_bound_bytes, 0);
}

TEST(MemoryPlan, AChainNeedsTwoBuffers) {
  std::vector<BufferRequest> chain;
  for (int i = 0; i < 20; ++i) chain.push_back({i, 1000, i, i + 1});
  const MemoryPlan plan = plan_memory(chain);
  check(chain, plan);
  EXPECT_EQ(plan.arena_bytes, 2 * 1024);
  EXPECT_EQ(plan.lower_bound_bytes, 2 * 1024);
  EXPECT_EQ(plan.unshared_bytes, 20 * 1024);
}

TEST(MemoryPlan, BuffersReadAndWrittenByOneNodeDoNotOverlap) {
  const std::vector<BufferRequest> two{{0, 64, 0, 3}, {1, 64, 3, 5}};
  EXPECT_EQ(plan_memory(two).arena_bytes, 128);
  const std::vector<BufferRequest> apart{{0, 64, 0, 2}, {1, 64, 3, 5}};
  EXPECT_EQ(plan_memory(apart).arena_bytes, 64);
}

// From step 3 on there are gaps of 640 and, further up, 512. The buffer of 512 must leave the 640 for the two
// of 320.
TEST(MemoryPlan, TheTightestGapIsTaken) {
  const std::vector<BufferRequest> requests{
      {0, 640, 0, 1}, {1, 576, 0, 9}, {2, 512, 0, 1}, {3, 512, 0, 9},
      {4, 512, 3, 9}, {5, 320, 3, 9}, {6, 320, 3, 9},
  };
  const MemoryPlan plan = plan_memory(requests);
  check(requests, plan);
  EXPECT_EQ(plan.arena_bytes, plan.lower_bound_bytes);
}

// A block of a transformer at sequence 197: qkv, attention, projection, MLP and the residual that spans them.
TEST(MemoryPlan, TransformerBlocksReachTheLowerBound) {
  std::vector<BufferRequest> requests;
  const int64_t row = 197 * 768 * 4;
  int step = 0;
  ValueId id = 0;
  requests.push_back({id++, row, step++, 0});
  for (int block = 0; block < 12; ++block) {
    const int begin = step;
    requests.push_back({id++, row, begin, begin + 1});          // norm
    requests.push_back({id++, 3 * row, begin + 1, begin + 2});  // qkv
    requests.push_back({id++, row, begin + 2, begin + 3});      // attention
    requests.push_back({id++, row, begin + 3, begin + 6});      // residual
    requests.push_back({id++, row, begin + 4, begin + 5});      // norm
    requests.push_back({id++, 4 * row, begin + 5, begin + 6});  // hidden
    requests.push_back({id++, row, begin + 6, begin + 9});      // residual, read in the next block
    step += 7;
  }
  const MemoryPlan plan = plan_memory(requests);
  check(requests, plan);
  EXPECT_EQ(plan.arena_bytes, plan.lower_bound_bytes);
  EXPECT_LT(plan.arena_bytes * 10, plan.unshared_bytes);
}

TEST(MemoryPlan, PropertiesHoldForRandomRequests) {
  std::mt19937 random(1);
  auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  double waste = 0;
  for (int round = 0; round < 500; ++round) {
    std::vector<BufferRequest> requests;
    const int steps = pick(1, 60);
    for (int i = pick(1, 80); i > 0; --i) {
      const int first = pick(0, steps);
      requests.push_back({i, pick(0, 4) == 0 ? 0 : pick(1, 5000), first, first + pick(0, 6)});
    }
    const MemoryPlan plan = plan_memory(requests);
    check(requests, plan);
    if (HasFatalFailure()) return;
    if (plan.lower_bound_bytes)
      waste += static_cast<double>(plan.arena_bytes) / static_cast<double>(plan.lower_bound_bytes) - 1;
    // The same requests give the same plan.
    const MemoryPlan again = plan_memory(requests);
    for (size_t i = 0; i < requests.size(); ++i) ASSERT_EQ(plan.values[i].offset, again.values[i].offset);
  }
  EXPECT_LT(waste / 500, 0.1) << "mean excess over the lower bound";
}

}  // namespace
}  // namespace vitrail
