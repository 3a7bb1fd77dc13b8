// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <condition_variable>
#include <thread>

#include "fake.h"

namespace vitrail {
namespace {

using test::fake_engine;
using test::FakeProgram;

std::unique_ptr<Session> open(const std::shared_ptr<FakeProgram>& program, int streams) {
  auto session = Session::create(fake_engine(), program, {.streams = streams});
  EXPECT_TRUE(session.ok()) << session.status().message();
  return std::move(session).value();
}

// Runs one row of this value and returns its sum.
Result<float> run_one(Session& session, float value) {
  auto out = session.run({{"x", Tensor::f32({1, 3}, {value, value, value})}, {"bias", Tensor::f32({1}, {1})}});
  if (!out.ok()) return out.status();
  return (*out)[0].tensor.as<float>()[0];
}

TEST(Concurrency, FourThreadsOnTwoStreamsGetTheirOwnResults) {
  auto program = std::make_shared<FakeProgram>();
  program->during_run = [] { std::this_thread::yield(); };
  auto session = open(program, 2);
  EXPECT_EQ(program->contexts, 2);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const auto value = static_cast<float>(t * 1000 + i);
        auto sum = run_one(*session, value);
        if (!sum.ok() || *sum != 3 * value + 1) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(program->most_running, 2);
}

// Two callers must be inside at once, else this waits for ever (and the test's time limit ends it).
TEST(Concurrency, StreamsRunAtTheSameTime) {
  auto program = std::make_shared<FakeProgram>();
  std::mutex mutex;
  std::condition_variable met;
  int inside = 0;
  program->during_run = [&] {
    std::unique_lock lock(mutex);
    ++inside;
    met.notify_all();
    met.wait(lock, [&] { return inside >= 2; });
  };
  auto session = open(program, 2);
  std::thread other([&] { EXPECT_TRUE(run_one(*session, 1).ok()); });
  EXPECT_TRUE(run_one(*session, 2).ok());
  other.join();
  EXPECT_EQ(program->most_running, 2);
}

TEST(Concurrency, CallersAreServedInTheOrderInWhichTheyCame) {
  auto program = std::make_shared<FakeProgram>();
  std::mutex mutex;
  std::condition_variable gate;
  bool open_gate = false;
  std::atomic<int> entered{0};
  program->during_run = [&] {
    ++entered;
    std::unique_lock lock(mutex);
    gate.wait(lock, [&] { return open_gate; });
  };
  auto session = open(program, 1);
  std::vector<int> order;
  std::vector<std::thread> threads;
  threads.emplace_back([&] { (void)run_one(*session, 0); });
  while (entered == 0) std::this_thread::yield();
  // Each waits at the lease before the next is started.
  for (int i = 1; i <= 5; ++i) {
    struct Order : Observer {
      Order(std::vector<int>& o, int n) : order(o), number(n) {}
      void on_value(ValueId, const TensorView&) override { order.push_back(number); }
      std::vector<int>& order;
      int number;
    };
    threads.emplace_back([&, i] {
      Order observer(order, i);  // called while the only stream is held, so `order` has one writer at a time
      EXPECT_TRUE(session
                      ->run({{"x", Tensor::f32({1, 3}, {1, 1, 1})}, {"bias", Tensor::f32({1}, {1})}}, &observer)
                      .ok());
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  {
    std::lock_guard lock(mutex);
    open_gate = true;
  }
  gate.notify_all();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4, 5}));
}

}  // namespace
}  // namespace vitrail
