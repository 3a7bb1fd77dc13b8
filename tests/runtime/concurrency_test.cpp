// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <fstream>
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
  auto out =
      session.run({{"x", Tensor::f32({1, 3}, {value, value, value})}, {"bias", Tensor::f32({1}, {1})}});
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

TEST(Concurrency, EveryCallerGetsTheDeviceTimesOfItsOwnBatch) {
  auto program = std::make_shared<FakeProgram>();
  program->during_run = [] { std::this_thread::yield(); };
  program->on_device = true;
  auto session = open(program, 2);
  EXPECT_EQ(session->device_bytes(), 1020);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      const Tensor bias = Tensor::f32({1}, {static_cast<float>(t)});
      Tensor sum(DType::kF32, {1}), doubled(DType::kF32, {1, 3});
      for (int i = 0; i < 500; ++i) {
        const auto v = static_cast<float>(i);
        const Tensor x = Tensor::f32({1, 3}, {v, v, v});
        const NamedView in[] = {{"x", x.view()}, {"bias", bias.view()}};
        const NamedMutableView out[] = {{"sum", sum.mutable_view()}, {"doubled", doubled.mutable_view()}};
        std::optional<DeviceTimes> times;
        if (!session->run(in, out, nullptr, &times).ok() || !times || times->h2d_us != t ||
            times->compute_us != 3.0 * i + t)
          ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);

  auto host = std::make_shared<FakeProgram>();
  auto on_host = open(host, 1);
  EXPECT_EQ(on_host->device_bytes(), 0);
  Tensor sum(DType::kF32, {1}), doubled(DType::kF32, {1, 3});
  const Tensor x = Tensor::f32({1, 3}, {1, 2, 3}), bias = Tensor::f32({1}, {0});
  const NamedView in[] = {{"x", x.view()}, {"bias", bias.view()}};
  const NamedMutableView out[] = {{"sum", sum.mutable_view()}, {"doubled", doubled.mutable_view()}};
  std::optional<DeviceTimes> times = DeviceTimes{};
  ASSERT_TRUE(on_host->run(in, out, nullptr, &times).ok());
  EXPECT_FALSE(times);
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

// Waits until the thread that stores its id here sleeps: its caller sees to it that only the session can be
// the reason.
void wait_until_blocked(const std::atomic<pid_t>& tid) {
  while (tid == 0) std::this_thread::yield();
  const std::string path = "/proc/self/task/" + std::to_string(tid.load()) + "/stat";
  std::string line;
  do {
    std::this_thread::yield();
    std::getline(std::ifstream(path), line);
  } while (line.substr(line.rfind(')') + 2, 1) != "S");
}

// Runs with this number as the sum, and notes it while the only stream is held.
struct Note : Observer {
  void on_value(ValueId, const TensorView& sum) override { order.push_back(sum.as<float>()[0]); }
  std::vector<float> order;
};
bool run_noted(Session& session, float number, Note& note) {
  return session.run({{"x", Tensor(DType::kF32, {1, 3})}, {"bias", Tensor::f32({1}, {number})}}, &note).ok();
}

// The first caller comes again as soon as it is done, when those who wait have hardly woken up: still they go
// first.
void race_for_one_stream(int waiting) {
  auto program = std::make_shared<FakeProgram>();
  auto session = open(program, 1);
  std::vector<std::atomic<pid_t>> tids(static_cast<size_t>(waiting));
  std::vector<std::thread> threads;
  Note note;
  std::vector<float> expected{0};
  std::atomic<bool> first{true};
  program->during_run = [&] {
    if (!first.exchange(false)) return;
    for (auto& tid : tids) {
      const auto number = static_cast<float>(threads.size() + 1);
      expected.push_back(number);
      threads.emplace_back([&, number] {
        tid = ::gettid();
        EXPECT_TRUE(run_noted(*session, number, note));
      });
      wait_until_blocked(tid);
    }
  };
  EXPECT_TRUE(run_noted(*session, 0, note));
  EXPECT_TRUE(run_noted(*session, 99, note));
  expected.push_back(99);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(note.order, expected);
}

TEST(Concurrency, CallersAreServedInTheOrderInWhichTheyCame) {
  for (int round = 0; round < 100 && !testing::Test::HasFailure(); ++round)
    race_for_one_stream(1 + round % 4);
}

}  // namespace
}  // namespace vitrail
