// SPDX-License-Identifier: Apache-2.0
#include "client/load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <set>
#include <thread>

#include "core/error.h"
#include "vitrail/client.h"

namespace vitrail::client {
namespace {

TEST(Load, AConstantRateIsDueAtEqualIntervals) {
  const auto due = due_times(10, false, 1, 1);
  ASSERT_EQ(due.size(), 10u);
  EXPECT_DOUBLE_EQ(due[3], 0.3);
}

TEST(Load, PoissonIntervalsAreExponential) {
  const auto due = due_times(1000, true, 20, 1);
  EXPECT_NEAR(static_cast<double>(due.size()), 20000, 3 * std::sqrt(20000));
  double sum = 0, squares = 0;
  for (size_t i = 1; i < due.size(); ++i) {
    const double gap = due[i] - due[i - 1];
    sum += gap;
    squares += gap * gap;
  }
  const double n = static_cast<double>(due.size() - 1), mean = sum / n;
  EXPECT_NEAR(mean, 1e-3, 5e-5);
  EXPECT_NEAR(std::sqrt(squares / n - mean * mean), mean, 0.05 * mean);
  EXPECT_EQ(due, due_times(1000, true, 20, 1));
}

TEST(Load, PercentilesAndMoments) {
  LoadResult r;
  for (int i = 100; i >= 1; --i) r.latencies_us.push_back(i);
  r.seconds = 2;
  r.completed = 100;
  EXPECT_EQ(percentile(r.latencies_us, 50), 50);
  EXPECT_EQ(percentile(r.latencies_us, 99), 99);
  EXPECT_EQ(percentile(r.latencies_us, 100), 100);
  EXPECT_DOUBLE_EQ(r.mean_us(), 50.5);
  EXPECT_NEAR(r.deviation_us(), 28.866, 1e-3);
  EXPECT_DOUBLE_EQ(r.per_second(), 50);
  EXPECT_EQ(percentile({}, 99), 0);
}

TEST(Load, AClosedLoopKeepsAsManyUnderWayAsAsked) {
  std::atomic<int> now{0}, most{0};
  LoadOptions options;
  options.concurrency = 3;
  options.warm_up_seconds = 0;
  options.seconds = 0.2;
  LoadResult result;
  const Status status = run_load(options, [&](int client, int64_t) {
    EXPECT_LT(client, 3);
    const int here = ++now;
    int seen = most;
    while (here > seen && !most.compare_exchange_weak(seen, here)) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    --now;
    return Status();
  }, result);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(most, 3);
  EXPECT_GE(percentile(result.latencies_us, 50), 2000);
  // All but those under way at the end, of each client one.
  EXPECT_EQ(result.seconds, 0.2);
  EXPECT_LE(result.completed, static_cast<int64_t>(result.latencies_us.size()));
  EXPECT_GE(result.completed, static_cast<int64_t>(result.latencies_us.size()) - 3);
  EXPECT_TRUE(result.failed_us.empty());
}

TEST(Load, ARateSendsAllThatIsDueAndCountsFaultsByMessage) {
  LoadOptions options;
  options.rate = 200;
  options.max_in_flight = 8;
  options.warm_up_seconds = 0;
  options.seconds = 0.25;
  LoadResult result;
  const Status status = run_load(options, [&](int, int64_t number) {
    return number % 5 == 0 ? unavailable("full") : Status();
  }, result);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(result.latencies_us.size(), 40u);
  EXPECT_EQ(result.failed_us.size(), 10u);
  EXPECT_EQ(result.faults.at("full"), 10);
}

TEST(Load, ARateUsesAsFewClientsAsTheAnswersAllow) {
  LoadOptions options;
  options.rate = 100;
  options.max_in_flight = 50;
  options.warm_up_seconds = 0;
  options.seconds = 0.5;
  size_t least = 50;
  // A machine with other work wakes threads late, and then more of them take part: one of three runs will do.
  for (int run = 0; run < 3 && least >= 25; ++run) {
    LoadResult result;
    std::mutex mutex;
    std::set<int> used;
    const Status status = run_load(options, [&](int client, int64_t) {
      const std::lock_guard lock(mutex);
      used.insert(client);
      return Status();
    }, result);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(result.latencies_us.size(), 50u);
    least = std::min(least, used.size());
  }
  EXPECT_LT(least, 25u);  // two, where threads are woken in time
}

TEST(Load, BadOptionsAreRefused) {
  LoadResult result;
  const auto refused = [&](auto change) {
    LoadOptions options;
    change(options);
    return run_load(options, [](int, int64_t) { return Status(); }, result).code() == Code::kUsage;
  };
  EXPECT_TRUE(refused([](LoadOptions& o) { o.concurrency = 0; }));
  EXPECT_TRUE(refused([](LoadOptions& o) { o.seconds = 0; }));
  EXPECT_TRUE(refused([](LoadOptions& o) { o.rate = 1e12; }));
}

TEST(Client, AddressesThatAreNoneAreRefused) {
  for (const char* url : {"", "host", "host:", ":8000", "host:80a", "http://host:8000/path", "https://host"})
    EXPECT_EQ(Client::create(url).status().code(), Code::kUsage) << url;
  for (const char* url : {"host:8000", "http://127.0.0.1:8000/", "http://[::1]:8000"})
    EXPECT_TRUE(Client::create(url).ok()) << url;
}

TEST(Client, NoServerIsAnError) {
  auto client = Client::create("127.0.0.1:1", std::chrono::milliseconds(2000));
  ASSERT_TRUE(client.ok());
  EXPECT_EQ(client->ready().status().code(), Code::kIo);
}

}  // namespace
}  // namespace vitrail::client
