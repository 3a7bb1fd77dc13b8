// SPDX-License-Identifier: Apache-2.0
#include "bench/timing.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>

#include "core/cancel.h"
#include "core/error.h"

namespace vitrail {
namespace {

Status check(const TimingOptions& o) {
  if (o.streams < 1 || o.streams > kMaxStreams)
    return usage_error("{} streams; it must be 1 to {}", o.streams, kMaxStreams);
  if (o.iterations < 1) return usage_error("{} iterations; at least 1 must be timed", o.iterations);
  if (o.warm_up < 0) return usage_error("{} warm-up iterations; it must be 0 or more", o.warm_up);
  if (o.iterations > kMaxSamples / o.streams)
    return usage_error(
        "{} iterations on {} streams are more than the {} that can be kept; ask for at most {}", o.iterations,
        o.streams, kMaxSamples, kMaxSamples / o.streams);
  if (!(o.idle_ms >= 0 && o.idle_ms <= kMaxIdleMs))
    return usage_error("an idle time of {} ms; it must be 0 to {}", o.idle_ms, kMaxIdleMs);
  if (o.max_seconds && !(*o.max_seconds > 0))
    return usage_error("max-seconds is {}; it must be more than 0", *o.max_seconds);
  if (o.warm_up_seconds && !(*o.warm_up_seconds >= 0))
    return usage_error("warm-up-seconds is {}; it must be 0 or more", *o.warm_up_seconds);
  return Status();
}

// Runs body(stream) on every stream, the first on the calling thread, and returns the first failure by
// number.
Status on_streams(int streams, const std::function<Status(int, std::atomic<bool>& stop)>& body) {
  std::atomic<bool> stop{false};
  std::vector<Status> outcomes(static_cast<size_t>(streams));
  auto run = [&](int stream) {
    outcomes[static_cast<size_t>(stream)] = body(stream, stop);
    if (!outcomes[static_cast<size_t>(stream)].ok()) stop = true;
  };
  Status started;
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(streams));
  try {
    for (int s = 1; s < streams; ++s) threads.emplace_back(run, s);
  } catch (const std::system_error& e) {
    stop = true;
    started =
        resource_error("cannot start a thread for each of {} streams: {}; use fewer", streams, e.what());
  }
  if (started.ok()) run(0);
  for (std::thread& thread : threads) thread.join();
  VTL_TRY(started);
  for (const Status& outcome : outcomes) VTL_TRY(outcome);
  return Status();
}

}  // namespace

std::vector<double> Timing::microseconds() const {
  std::vector<double> out;
  out.reserve(samples.size());
  for (const Sample& sample : samples) out.push_back(sample.microseconds());
  return out;
}

double Timing::wall_seconds() const {
  if (samples.empty()) return 0;
  int64_t first = samples.front().begin_ns, last = samples.front().end_ns;
  for (const Sample& sample : samples) {
    first = std::min(first, sample.begin_ns);
    last = std::max(last, sample.end_ns);
  }
  return static_cast<double>(last - first) / 1e9;
}

Status time_batches(const OneBatch& one_batch, const TimingOptions& options, Timing& timing) {
  timing = Timing();
  VTL_TRY(check(options));
  int64_t start = options.clock();
  std::optional<double> limit = options.warm_up_seconds;
  if (!limit && options.max_seconds) limit = *options.max_seconds * 0.2;
  const auto out_of_time = [&] { return limit && static_cast<double>(options.clock() - start) >= *limit * 1e9; };

  std::atomic<int64_t> warmed{0};
  std::atomic<bool> shortened{false};
  Status status = on_streams(options.streams, [&](int stream, std::atomic<bool>& stop) {
    for (int64_t i = 0; i < options.warm_up && !stop; ++i) {
      if (cancel::requested()) return cancelled();
      if (i > 0 && out_of_time()) {
        shortened = true;
        break;
      }
      VTL_TRY(one_batch(stream));
      ++warmed;
    }
    return Status();
  });
  if (options.warm_up_seconds) start = options.clock();
  limit = options.max_seconds;
  timing.warm_up = warmed;
  timing.shortened = shortened;
  VTL_TRY(status);

  std::vector<std::vector<Sample>> samples(static_cast<size_t>(options.streams));
  status = on_streams(options.streams, [&](int stream, std::atomic<bool>& stop) {
    std::vector<Sample>& mine = samples[static_cast<size_t>(stream)];
    // Reserved, so that growth rarely falls between two batches; untouched pages cost no memory.
    mine.reserve(static_cast<size_t>(std::min<int64_t>(options.iterations, 1 << 14)));
    for (int64_t i = 0; i < options.iterations && !stop; ++i) {
      if (cancel::requested()) return cancelled();
      if (i > 0 && out_of_time()) {
        shortened = true;
        break;
      }
      const int64_t begin = options.clock();
      VTL_TRY(one_batch(stream));
      Sample sample{begin, options.clock(), stream};
      if (const auto times = options.device_times ? options.device_times(stream) : std::nullopt) {
        sample.h2d_us = static_cast<float>(times->h2d_us);
        sample.compute_us = static_cast<float>(times->compute_us);
        sample.d2h_us = static_cast<float>(times->d2h_us);
      }
      mine.push_back(sample);
      if (options.idle_ms > 0) options.sleep(static_cast<int64_t>(options.idle_ms * 1e6));
    }
    return Status();
  });
  timing.shortened = shortened;
  for (const auto& mine : samples) timing.samples.insert(timing.samples.end(), mine.begin(), mine.end());
  return status;
}

}  // namespace vitrail
