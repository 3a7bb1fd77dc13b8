// SPDX-License-Identifier: Apache-2.0
// The clock work of a benchmark: warm-up and timed iterations on a number of streams.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "runtime/backend.h"
#include "vitrail/status.h"

namespace vitrail {

// Runs one batch on the stream of that number and returns when its outputs are there. Streams call it at
// once, each from its own thread.
using OneBatch = std::function<Status(int stream)>;

struct TimingOptions {
  int64_t warm_up = 100;      // untimed batches on each stream
  int64_t iterations = 1000;  // timed batches on each stream
  int streams = 1;
  // Time for warm-up and iterations together. A fifth of it at most goes to the warm-up; however little there
  // is, one batch of each is run.
  std::optional<double> max_seconds;
  Clock clock = steady_nanoseconds;
  // Where the time of the stream's last batch went; asked on the stream's own thread after each timed batch.
  // May be empty.
  std::function<std::optional<DeviceTimes>(int stream)> device_times = nullptr;
  // Pause after each timed batch: caches and clocks cool down, as between requests of a service with little to do.
  double idle_ms = 0;
  // The warm-up's own time; max_seconds is then that of the iterations alone.
  std::optional<double> warm_up_seconds = std::nullopt;
  std::function<void(int64_t nanoseconds)> sleep = [](int64_t ns) { std::this_thread::sleep_for(std::chrono::nanoseconds(ns)); };
};

// Start and end of one timed batch, on the options' clock.
struct Sample {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  int stream = 0;
  float h2d_us = 0, compute_us = -1, d2h_us = 0;  // on a device; compute_us < 0: there is none
  bool on_device() const { return compute_us >= 0; }
  double microseconds() const { return static_cast<double>(end_ns - begin_ns) / 1e3; }
};

struct Timing {
  std::vector<Sample> samples;  // stream by stream, in order within each
  int64_t warm_up = 0;          // batches that were run to warm up, all streams together
  bool shortened = false;       // max_seconds cut the warm-up or the iterations

  std::vector<double> microseconds() const;
  // From the first start to the last end over all streams.
  double wall_seconds() const;
};

inline constexpr int kMaxStreams = 1024;
inline constexpr double kMaxIdleMs = 10'000;  // an interruption waits for it
inline constexpr int64_t kMaxSamples = int64_t{1} << 25;  // iterations × streams: 1 GiB of samples

// Fills `timing` as it goes. A failure of a batch stops every stream and is returned; an interruption
// (core/cancel.h) returns kCancelled. In both cases what was timed until then is in `timing`.
Status time_batches(const OneBatch& one_batch, const TimingOptions& options, Timing& timing);

}  // namespace vitrail
