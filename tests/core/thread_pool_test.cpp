// SPDX-License-Identifier: Apache-2.0
#include "core/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace vitrail {
namespace {

class ThreadPoolTest : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 3, 8));

TEST_P(ThreadPoolTest, EveryIndexOnceAndWritesAreVisible) {
  ThreadPool pool(GetParam());
  ASSERT_EQ(pool.threads(), GetParam());
  for (const int64_t count : {0, 1, 2, 3, 7, 64, 1000}) {
    std::vector<int> calls(static_cast<size_t>(count),
                           0);  // plain ints: a race or a lost write shows, also in TSan
    pool.parallel_for(count, [&](int64_t i, int thread) {
      EXPECT_GE(thread, 0);
      EXPECT_LT(thread, GetParam());
      ++calls[static_cast<size_t>(i)];
    });
    for (const int n : calls) ASSERT_EQ(n, 1);
  }
}

TEST_P(ThreadPoolTest, ManyShortLoopsInARow) {
  ThreadPool pool(GetParam());
  int64_t sum = 0;
  for (int64_t round = 0; round < 20000; ++round) {
    int64_t cell[3] = {0, 0, 0};
    pool.parallel_for(3, [&](int64_t i, int) { cell[i] = round + i; });
    sum += cell[0] + cell[1] + cell[2] - 3 * round;
  }
  EXPECT_EQ(sum, 3 * 20000);
}

// Workers that come late to a short loop must take no index of the longer one behind it. (Many cores show it: with 16 the
// pool that let them hung within a second.)
TEST(ThreadPool, LoopsOfChangingLength) {
  ThreadPool pool(16);
  std::vector<int> calls(64);
  for (int64_t round = 0; round < 50000; ++round) {
    const int64_t count = 2 + round * 7919 % 61;
    std::fill(calls.begin(), calls.end(), 0);
    pool.parallel_for(count, [&](int64_t i, int) { ++calls[static_cast<size_t>(i)]; });
    for (int64_t i = 0; i < 64; ++i) ASSERT_EQ(calls[static_cast<size_t>(i)], i < count) << "round " << round << ", index " << i;
  }
}

TEST(ThreadPool, EndsWhileWorkersAreStillLate) {
  int64_t sum = 0;
  for (int64_t round = 0; round < 2000; ++round) {
    ThreadPool pool(16);
    std::atomic<int64_t> calls{0};
    for (int64_t loop = 0; loop < 1 + round % 3; ++loop) pool.parallel_for(2 + loop, [&](int64_t, int) { ++calls; });
    sum += calls - (round % 3 == 0 ? 2 : round % 3 == 1 ? 5 : 9);
  }
  EXPECT_EQ(sum, 0);
}

TEST_P(ThreadPoolTest, WorksAfterTheWorkersFellAsleep) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // well past the spinning
    std::atomic<int> calls{0};
    pool.parallel_for(5, [&](int64_t, int) { calls.fetch_add(1); });
    ASSERT_EQ(calls.load(), 5);
  }
}

TEST(ThreadPool, TheCallerSleepsThroughALongBody) {
  ThreadPool pool(2);
  std::vector<int> value(2, 0);
  pool.parallel_for(2, [&](int64_t i, int thread) {
    if (thread != 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    value[static_cast<size_t>(i)] = 1;
  });
  EXPECT_EQ(value, (std::vector<int>{1, 1}));
}

TEST(ThreadPool, AllThreadsTakePart) {
  constexpr int kThreads = 4;
  ThreadPool pool(kThreads);
  std::atomic<int> inside{0};
  std::vector<int> thread_of(kThreads, -1);
  // Each body waits until all four are inside, so that no thread can take two indices.
  pool.parallel_for(kThreads, [&](int64_t i, int thread) {
    thread_of[static_cast<size_t>(i)] = thread;
    inside.fetch_add(1);
    while (inside.load() < kThreads) std::this_thread::yield();
  });
  EXPECT_EQ(std::set<int>(thread_of.begin(), thread_of.end()).size(), size_t{kThreads});
}

TEST(ThreadPool, NonsenseThreadCountsStillWork) {
  for (const int threads : {0, -3}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), 1);
    int calls = 0;
    pool.parallel_for(4, [&](int64_t, int) { ++calls; });
    EXPECT_EQ(calls, 4);
  }
}

#if defined(__linux__)
TEST(AvailableCores, FollowsTheAffinityMask) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_GE(available_cores(), 1);
  EXPECT_LE(available_cores(), CPU_COUNT(&before));
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(available_cores(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}
#endif

}  // namespace
}  // namespace vitrail
