// SPDX-License-Identifier: Apache-2.0
#include "client/load.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <system_error>
#include <thread>

#include "core/cancel.h"
#include "core/error.h"
#include "core/statistics.h"

namespace vitrail::client {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr double kMaxRequests = 1e8;

SteadyClock::duration seconds(double s) {
  return std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(s));
}

Status check(const LoadOptions& o) {
  if (o.concurrency < 1 || o.concurrency > 4096) return usage_error("concurrency {}; it must be 1 to 4096", o.concurrency);
  if (!(o.rate >= 0) || o.rate * (o.seconds + o.warm_up_seconds) > kMaxRequests)
    return usage_error("a rate of {} for {} s is more than {} requests", o.rate, o.seconds, kMaxRequests);
  if (!(o.seconds > 0) || !(o.warm_up_seconds >= 0)) return usage_error("durations must be above 0");
  return {};
}

// Of a rate's clients one waits for the next request to be due; when it leaves to send, the one that came back last takes
// its place: as few connections are used as the answers allow, and those are warm.
class Turns {
 public:
  // Waits for the turn; false when there is nothing left to send.
  bool take() {
    std::unique_lock lock(mutex_);
    if (over_) return false;
    if (!taken_) return taken_ = true;
    std::condition_variable mine;
    bool called = false;
    idle_.push_back({&mine, &called});
    mine.wait(lock, [&] { return called; });
    return !over_;
  }
  void pass() {
    const std::lock_guard lock(mutex_);
    taken_ = false;
    if (idle_.empty()) return;
    taken_ = true;
    call(idle_.back());
    idle_.pop_back();
  }
  void end() {
    const std::lock_guard lock(mutex_);
    over_ = true;
    for (const Idle& idle : idle_) call(idle);
    idle_.clear();
  }

 private:
  struct Idle {
    std::condition_variable* wake;
    bool* called;
  };
  static void call(const Idle& idle) {
    *idle.called = true;
    idle.wake->notify_one();
  }
  std::mutex mutex_;
  std::vector<Idle> idle_;
  bool taken_ = false, over_ = false;
};

// What the clients share; each adds what it has seen when it ends.
struct Run {
  const LoadOptions& options;
  const Exchange& exchange;
  LoadResult& result;
  SteadyClock::time_point start = SteadyClock::now();
  std::vector<double> due{};
  std::atomic<int64_t> next{0};
  Turns turns{};
  std::mutex mutex{};  // guards result

  void client(int number) {
    LoadResult mine;
    const auto counted = start + seconds(options.warm_up_seconds), stop = counted + seconds(options.seconds);
    while (!cancel::requested()) {
      if (options.rate > 0 && !turns.take()) break;
      const int64_t request = next.fetch_add(1);
      auto from = SteadyClock::now();
      if (options.rate > 0) {
        if (request >= static_cast<int64_t>(due.size())) {
          turns.end();
          break;
        }
        const auto wanted = start + seconds(due[static_cast<size_t>(request)]);
        std::this_thread::sleep_until(wanted);
        turns.pass();
        mine.late += SteadyClock::now() - wanted > std::chrono::milliseconds(1);
        from = wanted;
      } else if (from >= stop) {
        break;
      }
      const Status status = exchange(number, request);
      const auto now = SteadyClock::now();
      mine.completed += status.ok() && now >= counted && now < stop;
      if (from < counted) continue;
      const double us = std::chrono::duration<double, std::micro>(now - from).count();
      if (status.ok()) {
        mine.latencies_us.push_back(us);
      } else {
        mine.failed_us.push_back(us);
        if (mine.faults.size() < 20 || mine.faults.contains(status.message())) ++mine.faults[status.message()];
      }
    }
    if (cancel::requested()) turns.end();
    const std::lock_guard lock(mutex);
    result.latencies_us.insert(result.latencies_us.end(), mine.latencies_us.begin(), mine.latencies_us.end());
    result.failed_us.insert(result.failed_us.end(), mine.failed_us.begin(), mine.failed_us.end());
    result.late += mine.late;
    result.completed += mine.completed;
    for (const auto& [message, count] : mine.faults) result.faults[message] += count;
  }
};

}  // namespace

double LoadResult::mean_us() const { return summarize(latencies_us).mean; }

double LoadResult::deviation_us() const { return summarize(latencies_us).stddev; }

double percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  const int64_t at = percentile_index(static_cast<int64_t>(values.size()), p);
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<size_t>(at)];
}

std::vector<double> due_times(double rate, bool poisson, double seconds, uint64_t seed) {
  std::vector<double> out;
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> interval(rate);
  // Equal intervals by multiplication, so that errors do not add up.
  for (double at = poisson ? interval(random) : 0; at < seconds;
       at = poisson ? at + interval(random) : static_cast<double>(out.size()) / rate)
    out.push_back(at);
  return out;
}

Status run_load(const LoadOptions& options, const Exchange& exchange, LoadResult& result) {
  result = {};
  VTL_TRY(check(options));
  Run run{options, exchange, result};
  if (options.rate > 0)
    run.due = due_times(options.rate, options.poisson, options.warm_up_seconds + options.seconds, options.seed);
  const int clients = options.rate > 0 ? options.max_in_flight : options.concurrency;
  run.start = SteadyClock::now();
  std::vector<std::thread> threads;
  Status started;
  try {
    for (int i = 0; i < clients; ++i) threads.emplace_back([&run, i] { run.client(i); });
  } catch (const std::system_error& error) {
    started = resource_error("cannot start {} clients: {}", clients, error.what());
  }
  for (std::thread& thread : threads) thread.join();
  const double passed = std::chrono::duration<double>(SteadyClock::now() - run.start).count() - options.warm_up_seconds;
  result.seconds = cancel::requested() ? std::clamp(passed, 0.0, options.seconds) : options.seconds;
  VTL_TRY(started);
  return cancel::requested() ? cancelled() : Status();
}

}  // namespace vitrail::client
