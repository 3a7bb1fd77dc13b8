// SPDX-License-Identifier: Apache-2.0
#include "bench/timing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>

#include "core/cancel.h"

namespace vitrail {
namespace {

using testing::HasSubstr;

// Each batch turns the clock on by the next of the given durations.
struct Fake {
  int64_t now = 5;
  int64_t calls = 0;
  std::vector<int64_t> durations_ns{1'000'000};
  Clock clock() {
    return [this] { return now; };
  }
  OneBatch batch() {
    return [this](int) {
      now += durations_ns[static_cast<size_t>(calls++) % durations_ns.size()];
      return Status();
    };
  }
};

class TimeBatches : public testing::Test {
 protected:
  void SetUp() override { cancel::reset(); }
  void TearDown() override { cancel::reset(); }
  Timing timing;
};

TEST_F(TimeBatches, WarmUpIsRunAndNotTimed) {
  Fake fake;
  fake.durations_ns = {900'000'000, 900'000'000, 2'000'000, 4'000'000, 3'000'000};
  ASSERT_TRUE(time_batches(fake.batch(), {2, 3, 1, {}, fake.clock()}, timing).ok());
  EXPECT_EQ(fake.calls, 5);
  EXPECT_EQ(timing.warm_up, 2);
  EXPECT_EQ(timing.microseconds(), (std::vector<double>{2000, 4000, 3000}));
  EXPECT_DOUBLE_EQ(timing.wall_seconds(), 0.009);
  EXPECT_FALSE(timing.shortened);
}

TEST_F(TimeBatches, ATimeLimitShortensWarmUpAndIterations) {
  Fake fake;  // 1 ms a batch; 10 ms: 2 to warm up, then until 10
  ASSERT_TRUE(time_batches(fake.batch(), {100, 1000, 1, 0.010, fake.clock()}, timing).ok());
  EXPECT_EQ(timing.warm_up, 2);
  EXPECT_EQ(timing.samples.size(), 8u);
  EXPECT_TRUE(timing.shortened);
}

TEST_F(TimeBatches, AWarmUpWithATimeOfItsOwnTakesNoneOfTheIterations) {
  Fake fake;
  TimingOptions options{100, 1000, 1, 0.010, fake.clock()};
  options.warm_up_seconds = 0.004;
  ASSERT_TRUE(time_batches(fake.batch(), options, timing).ok());
  EXPECT_EQ(timing.warm_up, 4);
  EXPECT_EQ(timing.samples.size(), 10u);
  EXPECT_GE(timing.wall_seconds(), 0.010);
}

TEST_F(TimeBatches, HoweverLittleTimeOneBatchIsTimed) {
  Fake fake;
  ASSERT_TRUE(time_batches(fake.batch(), {100, 1000, 1, 1e-9, fake.clock()}, timing).ok());
  EXPECT_EQ(timing.warm_up, 1);
  EXPECT_EQ(timing.samples.size(), 1u);
}

TEST_F(TimeBatches, APauseFollowsEachBatchAndIsNotTimed) {
  Fake fake;
  TimingOptions options{1, 3, 1, {}, fake.clock()};
  options.idle_ms = 50;
  std::vector<int64_t> pauses;
  options.sleep = [&](int64_t ns) {
    pauses.push_back(ns);
    fake.now += ns;
  };
  ASSERT_TRUE(time_batches(fake.batch(), options, timing).ok());
  EXPECT_EQ(pauses, (std::vector<int64_t>(3, 50'000'000)));
  EXPECT_EQ(timing.microseconds(), (std::vector<double>(3, 1000)));
  EXPECT_DOUBLE_EQ(timing.wall_seconds(), 0.103);
}

TEST_F(TimeBatches, AmpleTimeShortensNothing) {
  Fake fake;
  ASSERT_TRUE(time_batches(fake.batch(), {1, 5, 1, 60.0, fake.clock()}, timing).ok());
  EXPECT_EQ(timing.samples.size(), 5u);
  EXPECT_FALSE(timing.shortened);
}

TEST_F(TimeBatches, EveryStreamRunsItsOwnLoop) {
  std::array<std::atomic<int>, 3> calls{};
  const OneBatch batch = [&](int stream) {
    ++calls[static_cast<size_t>(stream)];
    return Status();
  };
  ASSERT_TRUE(time_batches(batch, {2, 5, 3, {}, steady_nanoseconds}, timing).ok());
  for (const auto& c : calls) EXPECT_EQ(c, 7);
  EXPECT_EQ(timing.warm_up, 6);
  ASSERT_EQ(timing.samples.size(), 15u);
  EXPECT_EQ(timing.samples.back().stream, 2);
}

TEST_F(TimeBatches, AFailureStopsAllStreamsAndIsReturned) {
  std::atomic<int> calls{0};
  const OneBatch batch = [&](int stream) {
    ++calls;
    return stream == 1 ? Status(Code::kInternal, "layer x broke") : Status();
  };
  const Status status = time_batches(batch, {0, 100'000'000 / 8, 2, {}, steady_nanoseconds}, timing);
  EXPECT_EQ(status.code(), Code::kInternal);
  EXPECT_EQ(status.message(), "layer x broke");
  EXPECT_LT(calls, 10'000'000);
}

TEST_F(TimeBatches, AnInterruptionKeepsWhatWasTimed) {
  Fake fake;
  const OneBatch batch = [&, inner = fake.batch()](int stream) {
    if (fake.calls == 3) cancel::request();
    return inner(stream);
  };
  EXPECT_EQ(time_batches(batch, {0, 1000, 1, {}, fake.clock()}, timing).code(), Code::kCancelled);
  EXPECT_EQ(timing.samples.size(), 4u);
}

TEST_F(TimeBatches, NonsenseIsAUsageError) {
  Fake fake;
  auto expect = [&](TimingOptions options, const char* text) {
    options.clock = fake.clock();
    const Status status = time_batches(fake.batch(), options, timing);
    EXPECT_EQ(status.code(), Code::kUsage);
    EXPECT_THAT(status.message(), HasSubstr(text));
  };
  expect({1, 1, 0, {}, {}}, "0 streams");
  expect({1, 1, 1 << 20, {}, {}}, "1 to 1024");
  expect({1, 0, 1, {}, {}}, "0 iterations");
  expect({-1, 1, 1, {}, {}}, "-1 warm-up");
  expect({1, INT64_MAX, 2, {}, {}}, "ask for at most");
  expect({1, 1, 1, 0.0, {}}, "max-seconds");
  TimingOptions never;
  never.idle_ms = std::nan("");
  expect(never, "idle time");
  EXPECT_EQ(fake.calls, 0);
}

}  // namespace
}  // namespace vitrail
