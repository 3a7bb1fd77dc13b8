// SPDX-License-Identifier: Apache-2.0
// `vitrail bench`: latency, throughput and memory of an engine at several batch sizes, by the protocol of
// shared/conventions.md.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/layer_timer.h"
#include "bench/machine.h"
#include "bench/timing.h"
#include "core/clock.h"
#include "core/statistics.h"
#include "engine/engine.h"
#include "vitrail/status.h"

namespace vitrail {

// What is measured. `prepare` makes inputs and outputs for `streams` streams at one batch size, outside the
// timed part, and returns what runs one batch; the observer is null but in the pass that times layers.
struct BenchSubject {
  using Run = std::function<Status(int stream, Observer* observer)>;
  std::function<Result<Run>(int64_t batch, int streams)> prepare;
  std::function<int64_t(int64_t batch)> planned_bytes;  // activations and scratch of one stream; may be empty
  // Where the stream's last batch spent its time on a device, and the device memory above that of a bare
  // device context while `prepare`'s last configuration is there. Both may be empty.
  std::function<std::optional<DeviceTimes>(int stream)> device_times;
  std::function<int64_t()> device_bytes;
  std::optional<DeviceInfo> gpu;
  std::vector<LayerReport> layers;  // FLOPs and names; empty when not known
  // By layer for a batch: bytes read and written, and Program::library_us. Both may be empty.
  std::function<std::vector<double>(int64_t batch)> layer_bytes;
  std::function<Result<std::vector<double>>(int64_t batch)> library_us;

  std::string model, engine_hash, backend, precision, isa;
  std::string label;   // of the row in a report; empty for "<precision> (<backend>)"
  std::string runner;  // "vitrail 0.1.0"
};

// Times on a device of its own, in microseconds of one batch.
struct DeviceFigures {
  Statistics h2d, compute, d2h;
  double images_per_second = 0;  // batch / median compute: what the device alone would reach on one stream
};

struct BenchResult {
  int64_t batch = 0;
  int streams = 1;
  int threads = 1;               // of each stream
  Statistics latency;            // microseconds of one batch on one stream
  double images_per_second = 0;  // all streams over their joint wall time
  int64_t peak_rss_bytes = 0;
  int64_t planned_bytes = 0;            // all streams
  std::optional<double> gflops;         // achieved; absent when the FLOPs are not known
  std::optional<double> peak_fraction;  // the time that the layers would take at their precision's peak / the time taken
  std::optional<DeviceFigures> device;  // absent where the backend has no device
  int64_t device_bytes = 0;             // of the program and all streams; 0 where there is no device
  int64_t iterations = 0;               // timed batches, all streams together
  int64_t warm_up = 0;
  bool shortened = false;
  std::vector<double> distribution_us;  // 101 quantiles of the latency, least to greatest
  std::vector<LayerTime> layers;        // empty unless asked for
  std::vector<Sample> samples;          // every timed batch; not part of to_json
};

struct BenchOptions {
  std::vector<int64_t> batches = {1, 8, 16, 32, 64};
  int64_t warm_up = 100;
  int64_t iterations = 1000;
  int streams = 1;
  int threads = 1;  // of each stream; only reported
  double idle_ms = 0;  // pause after each timed batch; images per second count it
  // For the whole run. Each configuration gets an equal part of what is left when it starts, so that what a
  // quick one does not use goes to the later ones.
  std::optional<double> max_seconds;
  // Of each configuration, before its first round; max_seconds is then that of what is timed.
  std::optional<double> warm_up_seconds;
  bool layers = false;                // a separate pass after the timed one
  // Measured multiply-add peaks of this machine: of floats and, where layers compute in bytes, of those.
  std::optional<double> peak_gflops, peak_int8_gflops;
  Clock clock = steady_nanoseconds;
  // May be empty. Called with `done` of `total` configurations before each, and with `done` == `total` at the
  // end.
  std::function<void(int64_t done, int64_t total)> progress;
};

struct BenchReport {
  std::string model, engine_hash, backend, precision, isa, label, runner;
  Machine machine;
  std::string timestamp;
  std::optional<double> peak_gflops, peak_int8_gflops;
  double idle_ms = 0;
  int64_t warm_up = 0, iterations = 0;  // as asked for, on each stream
  std::optional<double> max_seconds;
  bool peak_rss_resettable = false;  // false: peak_rss_bytes counts from the start of the process
  bool cancelled = false;
  std::vector<BenchResult> results;
  std::vector<std::string> warnings;
};

// Measures every batch size in the given order. On a failure or an interruption (kCancelled) the report holds
// what was finished before, with the interrupted configuration's iterations so far.
Status run_bench(const BenchSubject& subject, const BenchOptions& options, BenchReport& report);

// Several subjects at the same batch sizes. Their batches come in `rounds` that take turns, so that a machine that slows
// down slows all of them; warm_up belongs to the first round. reports[i] is of subjects[i]; its peak_rss_bytes counts all
// of them. A failure ends all: the reports hold what was finished before.
Status run_bench_in_turns(std::span<const BenchSubject> subjects, const BenchOptions& options, int rounds,
                          std::vector<BenchReport>& reports);

// The schema of docs/report-schema.md, kind "bench".
nlohmann::ordered_json to_json(const BenchReport& report);
// to_json as text that ends in a newline; bytes that are not UTF-8 are replaced.
std::string to_json_text(const BenchReport& report);

// The array that trtexec's --exportTimes writes, one object a batch, times in ms from the first start. On a
// CPU there are no copies (h2d, d2h are 0) and nothing is enqueued ahead. On a device the copies lie at the
// two ends of a batch. Ours besides: "batch" and "stream".
nlohmann::ordered_json export_times(const BenchReport& report);

// trtexec's summary lines of one batch size: Throughput, Latency and, where there is a device, H2D Latency,
// GPU Compute Time and D2H Latency, in ms. One query is one batch.
std::string summary_lines(const BenchResult& result);

// For the terminal.
std::string to_table(const BenchReport& report);
std::string layer_table(const BenchResult& result, size_t rows = 20);

}  // namespace vitrail
