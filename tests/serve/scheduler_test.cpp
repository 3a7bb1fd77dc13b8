// SPDX-License-Identifier: Apache-2.0
#include "serve/scheduler.h"

#include <cmath>

#include "serve/fixture.h"

namespace vitrail::serve {
namespace {

using test::Answer;
using test::Gate;
using test::sum_job;

struct Fixture {
  std::shared_ptr<test::SumProgram> program = std::make_shared<test::SumProgram>();
  Statistics statistics;
  std::unique_ptr<Scheduler> scheduler;

  void start(SchedulerOptions options = {}, int streams = 1, std::vector<Profile> profiles = {{1, 4, 8}}) {
    auto engine = test::sum_engine(std::move(profiles));
    SessionOptions session;
    session.streams = streams;
    session.check_finite = false;
    auto made = Session::create(engine, program, session);
    ASSERT_TRUE(made.ok()) << made.status().message();
    if (options.policy.max_batch == 1) options.policy.max_batch = 8;
    scheduler = std::make_unique<Scheduler>(program, std::move(*made), std::move(options), statistics);
  }
  std::pair<Scheduler::Ticket, std::future<Answer>> submit(float value, int64_t rows = 1, int priority = 0,
                                                           int64_t timeout_ns = 0) {
    auto [job, future] = sum_job(value, rows);
    job.priority = priority;
    job.timeout_ns = timeout_ns;
    const auto ticket = scheduler->submit(job);
    EXPECT_TRUE(ticket.has_value());
    return {ticket.value_or(0), std::move(future)};
  }
};

// Whose batches wait at a gate.
struct GatedFixture : Fixture {
  Gate gate;
  GatedFixture() {
    program->during_run = [this](int64_t) { gate.pass(); };
  }
};

TEST(Scheduler, AnswersEachRequestWithItsOwnRows) {
  GatedFixture f;
  Gate& gate = f.gate;
  f.start();
  auto first = f.submit(1);
  gate.await(1);  // the first runs; what follows gathers behind it
  auto second = f.submit(10, 2), third = f.submit(20, 3);
  gate.open();
  EXPECT_EQ(first.second.get().sums, std::vector<float>({1}));
  EXPECT_EQ(second.second.get().sums, std::vector<float>({10, 11}));
  const Answer answer = third.second.get();
  EXPECT_EQ(answer.sums, std::vector<float>({20, 21, 22}));
  EXPECT_EQ(answer.result.batch_rows, 5);
  EXPECT_EQ(f.program->ran(), std::vector<int64_t>({1, 5}));
  const Snapshot s = f.statistics.snapshot();
  EXPECT_EQ(s.success.count, 3u);
  EXPECT_EQ(s.inference_count, 6u);
  EXPECT_EQ(s.execution_count, 2u);
  EXPECT_EQ(s.batches.at(5).infer.count, 1u);
  EXPECT_EQ(s.latency.count(), 3u);
}

TEST(Scheduler, ARequestWithNanFailsAloneAndNamesTheElement) {
  GatedFixture f;
  Gate& gate = f.gate;
  f.start();
  auto first = f.submit(1);
  gate.await(1);
  auto bad = f.submit(std::nanf("")), good = f.submit(7);
  gate.open();
  const Answer refused = bad.second.get();
  EXPECT_EQ(refused.result.fault.cause, Cause::kInvalid);
  EXPECT_NE(refused.result.fault.message.find("'x'"), std::string::npos) << refused.result.fault.message;
  EXPECT_EQ(good.second.get().sums, std::vector<float>({7}));
  EXPECT_EQ(f.statistics.snapshot().failed_other, 1u);
}

TEST(Scheduler, ALoneRequestIsReadWhereItLiesIfItIsAligned) {
  Fixture f;
  f.start();
  auto [job, future] = sum_job(5, 2);
  const void* data = job.inputs[0].data();
  f.scheduler->submit(job);
  EXPECT_EQ(future.get().sums, std::vector<float>({5, 6}));
  EXPECT_EQ(f.program->read, data);
  auto [odd, answer] = sum_job(8, 2);
  auto shifted = std::make_shared<std::vector<std::byte>>(odd.inputs[0].size() + 1);
  std::ranges::copy(odd.inputs[0], shifted->begin() + 1);
  odd.inputs[0] = std::span<const std::byte>(*shifted).subspan(1);
  odd.owner = shifted;
  f.scheduler->submit(odd);
  EXPECT_EQ(answer.get().sums, std::vector<float>({8, 9}));
  EXPECT_NE(f.program->read, static_cast<const void*>(shifted->data() + 1));
}

TEST(Scheduler, SubmitRunsWhatMayRunHereWhileNobodyWaits) {
  Fixture f;
  Gate gate;
  std::atomic<bool> shut{false};
  std::thread::id ran;
  f.program->during_run = [&](int64_t) {
    ran = std::this_thread::get_id();
    if (shut) gate.pass();
  };
  f.start();
  ASSERT_TRUE(f.scheduler->warm_up(0).ok());
  const auto here = [&](float value) {
    auto [job, future] = sum_job(value);
    job.run_here = true;
    f.scheduler->submit(job);
    return std::move(future);
  };
  auto first = here(1);
  ASSERT_EQ(first.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(first.get().sums, std::vector<float>({1}));
  EXPECT_EQ(ran, std::this_thread::get_id());
  f.submit(2).second.get();
  EXPECT_NE(ran, std::this_thread::get_id());
  // While the only stream is taken all others queue; they run, and the end waits for that one, too.
  shut = true;
  std::future<Answer> slow;
  std::thread runs([&] { slow = here(3); });
  gate.await(1);
  auto other = here(4);
  auto usual = f.submit(5);
  EXPECT_EQ(f.scheduler->waiting(), 2u);
  std::thread stops([&] { f.scheduler->stop(); });
  gate.open();
  EXPECT_EQ(other.get().sums, std::vector<float>({4}));
  EXPECT_EQ(usual.second.get().sums, std::vector<float>({5}));
  stops.join();
  runs.join();
  EXPECT_EQ(slow.get().sums, std::vector<float>({3}));
  EXPECT_EQ(f.program->ran(), std::vector<int64_t>({1, 1, 1, 1, 1, 2}));
}

TEST(Scheduler, LargeBatchesAreCopiedByManyThreads) {
  GatedFixture f;
  Gate& gate = f.gate;
  constexpr int64_t kRows = 200'000;  // of 12 bytes, so that two requests are more than 4 MiB
  SchedulerOptions options;
  options.copy_threads = 4;
  options.policy.max_batch = 2 * kRows;
  f.start(options, 1, {{1, 4, 2 * kRows}});
  auto running = f.submit(1);
  gate.await(1);
  auto first = f.submit(1000, kRows), second = f.submit(-2000, kRows);
  auto bad = f.submit(INFINITY, kRows);
  gate.open();
  EXPECT_EQ(bad.second.get().result.fault.cause, Cause::kInvalid);
  for (auto& [answer, value] : {std::pair(first.second.get(), 1000.f), std::pair(second.second.get(), -2000.f)}) {
    EXPECT_EQ(answer.result.batch_rows, 2 * kRows);
    ASSERT_EQ(answer.sums.size(), static_cast<size_t>(kRows));
    for (int64_t r = 0; r < kRows; ++r) ASSERT_EQ(answer.sums[static_cast<size_t>(r)], value + static_cast<float>(r)) << r;
  }
}

TEST(Scheduler, NanPassesWhereItIsAllowed) {
  Fixture f;
  SchedulerOptions options;
  options.allow_non_finite = true;
  f.start(options);
  const Answer answer = f.submit(std::nanf("")).second.get();
  ASSERT_EQ(answer.sums.size(), 1u);
  EXPECT_TRUE(std::isnan(answer.sums[0]));
}

TEST(Scheduler, ATimeoutFiresWhileABatchRuns) {
  GatedFixture f;
  Gate& gate = f.gate;
  f.start();
  auto running = f.submit(1);
  gate.await(1);
  auto late = f.submit(2, 1, 0, 1'000'000);
  EXPECT_EQ(late.second.get().result.fault.cause, Cause::kExpired);  // the gate is still shut
  gate.open();
  EXPECT_TRUE(running.second.get().result.fault.ok());
  EXPECT_EQ(f.statistics.snapshot().rejected, 1u);
}

TEST(Scheduler, ADelayedTimeoutPutsTheRequestLast) {
  Fixture f;
  Gate gate;
  std::vector<float> order;
  f.program->during_run = [&](int64_t) { gate.pass(); };
  SchedulerOptions options;
  options.queue.usual.delays = true;
  options.policy.merge = false;
  f.start(options);
  auto running = f.submit(1);
  gate.await(1);
  std::mutex mutex;
  const auto submit = [&](float value, int64_t timeout_ns) {
    auto [job, future] = sum_job(value);
    job.timeout_ns = timeout_ns;
    job.done = [&order, &mutex, inner = job.done](JobResult result) {
      {
        const std::lock_guard lock(mutex);
        order.push_back(result.outputs[0].as<float>()[0]);
      }
      inner(std::move(result));
    };
    f.scheduler->submit(job);
    return std::move(future);
  };
  auto late = submit(2, 1'000'000);
  auto other = submit(3, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // its timeout passes; nothing is measured
  gate.open();
  EXPECT_EQ(late.get().sums, std::vector<float>({2}));
  EXPECT_EQ(other.get().sums, std::vector<float>({3}));
  EXPECT_EQ(order, std::vector<float>({3, 2}));
}

TEST(Scheduler, PrioritiesOvertake) {
  GatedFixture f;
  Gate& gate = f.gate;
  SchedulerOptions options;
  options.priority_levels = 3;
  options.policy.max_batch = 2;
  f.start(options);
  auto running = f.submit(0);
  gate.await(1);
  auto low = f.submit(1, 2, 3), usual = f.submit(2, 1), high = f.submit(3, 1, 1);
  gate.open();
  EXPECT_TRUE(low.second.get().result.fault.ok());
  EXPECT_EQ(usual.second.get().result.batch_rows, 2);  // with the high one, before the low one of two rows
  EXPECT_EQ(high.second.get().result.batch_rows, 2);
  EXPECT_EQ(f.program->ran(), std::vector<int64_t>({1, 2, 2}));
}

TEST(Scheduler, AFullQueueRefusesAtOnce) {
  GatedFixture f;
  Gate& gate = f.gate;
  SchedulerOptions options;
  options.queue.usual.max_queue = 2;
  f.start(options);
  auto running = f.submit(0);
  gate.await(1);
  auto a = f.submit(1), b = f.submit(2), c = f.submit(3);
  EXPECT_EQ(c.second.get().result.fault.cause, Cause::kBusy);
  EXPECT_EQ(f.scheduler->waiting(), 2u);
  EXPECT_EQ(f.scheduler->announce(sum_job(4).first).fault().cause, Cause::kBusy);
  f.scheduler->cancel(b.first);
  EXPECT_TRUE(f.scheduler->announce(sum_job(4).first).ok());
  gate.open();
  EXPECT_TRUE(a.second.get().result.fault.ok());
}

// Of a burst that finds the queue empty no more is made ready than may wait.
TEST(Scheduler, WhatIsAnnouncedTakesItsPlace) {
  GatedFixture f;
  Gate& gate = f.gate;
  SchedulerOptions options;
  options.queue.usual.max_queue = 2;
  f.start(options);
  const auto announce = [&] { return f.scheduler->announce(sum_job(4).first); };
  std::vector<Reply<Scheduler::Ticket>> early;
  for (int i = 0; i < 4; ++i) early.push_back(announce());
  EXPECT_TRUE(early[2].ok());  // the free stream would take one at once
  EXPECT_EQ(early[3].fault().cause, Cause::kBusy);
  for (int i = 0; i < 3; ++i) f.scheduler->retract(*early[static_cast<size_t>(i)]);

  auto running = f.submit(0);
  gate.await(1);
  const auto first = announce(), second = announce();
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(announce().fault().cause, Cause::kBusy);
  EXPECT_EQ(f.submit(1).second.get().result.fault.cause, Cause::kBusy);
  f.scheduler->retract(*first);
  f.scheduler->retract(*first);
  // The place of the other becomes that of its request.
  auto job = sum_job(3);
  job.first.announced = *second;
  ASSERT_TRUE(f.scheduler->submit(job.first));
  EXPECT_EQ(f.scheduler->waiting(), 1u);
  EXPECT_TRUE(announce().ok());
  EXPECT_EQ(announce().fault().cause, Cause::kBusy);
  gate.open();
  EXPECT_TRUE(job.second.get().result.fault.ok());
}

TEST(Scheduler, EachPriorityHasItsOwnQueue) {
  GatedFixture f;
  Gate& gate = f.gate;
  auto now = std::make_shared<std::atomic<int64_t>>(1);
  SchedulerOptions options;
  options.priority_levels = 2;
  options.policy.merge = false;
  options.clock = [now] { return now->load(); };
  options.queue.special = {{1, {true, 5'000'000, false, 2}}, {2, {false, 8'000'000, true, 1}}};
  f.start(options);
  auto running = f.submit(0, 1, 1);
  gate.await(1);
  auto first = f.submit(1, 1, 1), second = f.submit(2, 1, 1), low = f.submit(3, 1, 2);
  for (int priority : {1, 2}) {
    const Answer full = f.submit(9, 1, priority).second.get();
    EXPECT_EQ(full.result.fault.cause, Cause::kBusy);
    EXPECT_NE(full.result.fault.message.find(fmt::format("of priority {}", priority)), std::string::npos);
  }
  *now = 8'000'001;  // delayed are the two of priority 1, refused the other
  gate.open();
  EXPECT_TRUE(first.second.get().result.fault.ok());
  EXPECT_TRUE(second.second.get().result.fault.ok());
  EXPECT_EQ(low.second.get().result.fault.cause, Cause::kExpired);
}

TEST(Scheduler, CancelTakesAWaitingRequestOutOfTheQueue) {
  GatedFixture f;
  Gate& gate = f.gate;
  f.start();
  auto running = f.submit(0);
  gate.await(1);
  auto waiting = f.submit(1);
  f.scheduler->cancel(waiting.first);
  EXPECT_EQ(waiting.second.get().result.fault.cause, Cause::kCancelled);
  f.scheduler->cancel(running.first);  // runs already: answered as usual
  gate.open();
  EXPECT_TRUE(running.second.get().result.fault.ok());
  EXPECT_EQ(f.program->ran(), std::vector<int64_t>({1}));
  EXPECT_EQ(f.statistics.snapshot().cancelled, 1u);
}

TEST(Scheduler, StopAnswersWhatWaitsAndTakesNothingNew) {
  GatedFixture f;
  Gate& gate = f.gate;
  SchedulerOptions options;
  options.policy.max_delay_ns = int64_t{3600} * 1'000'000'000;
  f.start(options);
  auto running = f.submit(0, 8);
  gate.await(1);
  auto waiting = f.submit(5);
  std::thread stopper([&] { f.scheduler->stop(); });
  gate.open();
  EXPECT_EQ(waiting.second.get().sums, std::vector<float>({5}));
  stopper.join();
  auto [job, future] = sum_job(1);
  EXPECT_FALSE(f.scheduler->submit(job).has_value());
  EXPECT_TRUE(job.done != nullptr);  // as it was
}

TEST(Scheduler, AnswersKeepTheOrderOfArrivalWhenAsked) {
  Fixture f;
  std::mutex mutex;
  std::vector<int> order;
  Gate slow;
  f.program->during_run = [&](int64_t batch) {
    if (batch == 2) slow.pass();  // the first request is the slow one
  };
  SchedulerOptions options;
  options.preserve_ordering = true;
  options.policy.merge = false;
  f.start(options, 2);
  std::vector<std::future<Answer>> answers;
  for (int i = 0; i < 6; ++i) {
    auto [job, future] = sum_job(static_cast<float>(i), i == 0 ? 2 : 1);
    job.done = [&, i, inner = job.done](JobResult result) {
      {
        const std::lock_guard lock(mutex);
        order.push_back(i);
      }
      inner(std::move(result));
    };
    f.scheduler->submit(job);
    answers.push_back(std::move(future));
    if (i == 0) slow.await(1);
  }
  while (f.statistics.snapshot().execution_count < 5) std::this_thread::yield();
  {
    const std::lock_guard lock(mutex);
    EXPECT_TRUE(order.empty());  // five are done and wait for the first
  }
  slow.open();
  for (auto& answer : answers) answer.get();
  EXPECT_EQ(order, std::vector<int>({0, 1, 2, 3, 4, 5}));
}

TEST(Scheduler, AFailureOfTheBackendIsAnsweredToAll) {
  Fixture f;
  f.program->result = Status(Code::kInternal, "the device is gone");
  f.start();
  const Answer answer = f.submit(1).second.get();
  EXPECT_EQ(answer.result.fault.cause, Cause::kInternal);
  EXPECT_EQ(answer.result.fault.message, "the device is gone");
  EXPECT_EQ(f.statistics.snapshot().failed_backend, 1u);
  EXPECT_EQ(f.statistics.snapshot().execution_count, 0u);
}

TEST(Scheduler, BatchesBelowTheSmallestProfileAreFilledUp) {
  Fixture f;
  f.start({}, 1, {{4, 4, 4}});
  EXPECT_EQ(f.submit(3, 2).second.get().sums, std::vector<float>({3, 4}));
  EXPECT_EQ(f.program->ran(), std::vector<int64_t>({4}));
}

TEST(Scheduler, WarmUpLearnsWhatBatchesCost) {
  Fixture f;
  f.program->during_run = [](int64_t batch) { std::this_thread::sleep_for(std::chrono::microseconds(200 * batch)); };
  f.start();
  ASSERT_TRUE(f.scheduler->warm_up(10).ok());
  EXPECT_EQ(f.program->ran(), std::vector<int64_t>({1, 1, 2, 2, 4, 4, 8, 8}));
  EXPECT_GE(f.scheduler->policy().cost.at(8), 1'600'000.0);
}

TEST(Scheduler, AGoalOfLatencyRefusesWhatCannotMakeIt) {
  Fixture f;
  Gate gate;
  std::atomic<bool> shut{false};
  f.program->during_run = [&](int64_t batch) {
    if (shut)
      gate.pass();
    else
      std::this_thread::sleep_for(std::chrono::milliseconds(batch));
  };
  SchedulerOptions options;
  options.slo_ns = 20'000'000;
  f.start(options);
  ASSERT_TRUE(f.scheduler->warm_up(10).ok());
  shut = true;
  auto running = f.submit(0, f.scheduler->policy().max_batch);
  gate.await(1);
  std::vector<std::future<Answer>> others;
  for (int i = 0; i < 60; ++i) others.push_back(f.submit(static_cast<float>(i)).second);
  EXPECT_LT(f.scheduler->waiting(), 25u);  // about 1 ms each
  EXPECT_GT(f.scheduler->waiting(), 0u);
  shut = false;
  gate.open();
  size_t refused = 0;
  for (auto& other : others) refused += other.get().result.fault.cause == Cause::kBusy;
  EXPECT_GT(refused, 30u);
}

TEST(Scheduler, ManyThreadsGetTheirOwnAnswers) {
  Fixture f;
  f.start({}, 2);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const auto value = static_cast<float>(t * 1000 + i);
        const int64_t rows = 1 + i % 3;
        const Answer answer = f.submit(value, rows).second.get();
        for (int64_t r = 0; r < rows; ++r)
          if (answer.sums.size() != static_cast<size_t>(rows) ||
              answer.sums[static_cast<size_t>(r)] != value + static_cast<float>(r))
            ++wrong;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(f.statistics.snapshot().success.count, 800u);
}

}  // namespace
}  // namespace vitrail::serve
