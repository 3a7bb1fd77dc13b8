// SPDX-License-Identifier: Apache-2.0
#include "bench/bench.h"

#include <algorithm>
#include <cmath>

#include "bench/warnings.h"
#include "core/cancel.h"
#include "core/error.h"
#include "core/memory_usage.h"

namespace vitrail {
namespace {

constexpr int64_t kLayerPasses = 50;
constexpr int64_t kQuantiles = 101;
constexpr double kLayerShare = 0.15;  // of a configuration's time, when it is limited and layers are wanted

double seconds_since(int64_t start, const Clock& clock) { return static_cast<double>(clock() - start) / 1e9; }

double flops_per_image(const std::vector<LayerReport>& layers) {
  double sum = 0;
  for (const LayerReport& layer : layers) sum += layer.flops_per_image;
  return sum;
}

// What an image takes where every layer runs at the peak of its precision; nothing when a peak is not known.
std::optional<double> least_seconds_per_image(const std::vector<LayerReport>& layers, const BenchOptions& options) {
  double seconds = 0;
  for (const LayerReport& layer : layers) {
    if (!(layer.flops_per_image > 0)) continue;
    const auto& peak = layer.precision == dtype_name(DType::kI8) ? options.peak_int8_gflops : options.peak_gflops;
    if (!peak || !(*peak > 0)) return std::nullopt;
    seconds += layer.flops_per_image / (*peak * 1e9);
  }
  return seconds;
}

Status time_layers(const BenchSubject& subject, const BenchSubject::Run& run, const BenchOptions& options,
                   double max_seconds, BenchResult& result) {
  LayerTimer timer(subject.layers.size());
  const int64_t start = options.clock();
  for (int64_t i = 0; i < std::min(kLayerPasses, options.iterations); ++i) {
    if (cancel::requested()) return cancelled();
    if (i > 0 && seconds_since(start, options.clock) >= max_seconds) break;
    VTL_TRY(run(0, &timer));
  }
  std::vector<double> bytes, library_us;
  if (subject.layer_bytes) bytes = subject.layer_bytes(result.batch);
  if (subject.library_us) {
    VTL_ASSIGN(library_us, subject.library_us(result.batch));
  }
  result.layers = timer.summarize(subject.layers, result.batch, bytes, library_us);
  return Status();
}

// Nothing unless every batch was timed on a device.
std::optional<DeviceFigures> device_figures(const std::vector<Sample>& samples, int64_t batch) {
  if (samples.empty() || !std::ranges::all_of(samples, &Sample::on_device)) return std::nullopt;
  const auto figures = [&](float Sample::*time) {
    std::vector<double> values;
    values.reserve(samples.size());
    for (const Sample& s : samples) values.push_back(static_cast<double>(s.*time));
    return summarize(values);
  };
  DeviceFigures f{figures(&Sample::h2d_us), figures(&Sample::compute_us), figures(&Sample::d2h_us)};
  if (f.compute.median > 0) f.images_per_second = static_cast<double>(batch) * 1e6 / f.compute.median;
  return f;
}

// Derives the figures of one configuration from its samples.
void finish(const BenchSubject& subject, const BenchOptions& options, Timing timing, double wall, BenchResult& result) {
  const std::vector<double> microseconds = timing.microseconds();
  result.latency = summarize(microseconds);
  result.distribution_us = quantiles(microseconds, kQuantiles);
  result.iterations = static_cast<int64_t>(timing.samples.size());
  result.warm_up = timing.warm_up;
  result.shortened = timing.shortened;
  if (wall > 0)
    result.images_per_second =
        static_cast<double>(result.iterations) * static_cast<double>(result.batch) / wall;
  if (const double flops = flops_per_image(subject.layers); flops > 0) {
    result.gflops = flops * result.images_per_second / 1e9;
    if (const auto least = least_seconds_per_image(subject.layers, options))
      result.peak_fraction = *least * result.images_per_second;
  }
  result.device = device_figures(timing.samples, result.batch);
  result.samples = std::move(timing.samples);
}

Status check(const BenchOptions& options) {
  if (options.batches.empty()) return usage_error("no batch size was given");
  for (int64_t batch : options.batches) {
    if (batch < 1) return usage_error("batch size {}; it must be at least 1", batch);
  }
  if (options.max_seconds && !(*options.max_seconds > 0))
    return usage_error("max-seconds is {}; it must be more than 0", *options.max_seconds);
  return Status();
}

// One subject's part of a batch size that several share.
struct Turn {
  BenchSubject::Run run;
  Timing timing;
  double wall = 0;  // of its own rounds
  BenchResult result;
};

Status take_turns(std::span<const BenchSubject> subjects, const BenchOptions& options, int64_t rounds,
                  std::optional<double> seconds, std::vector<Turn>& turns) {
  for (int64_t round = 0; round < rounds; ++round)
    for (size_t k = 0; k < subjects.size(); ++k) {
      const size_t i = (k + static_cast<size_t>(round)) % subjects.size();  // nobody is always the first
      TimingOptions timing{round == 0 ? options.warm_up : 1,
                           options.iterations * (round + 1) / rounds - options.iterations * round / rounds,
                           options.streams,
                           {},
                           options.clock,
                           subjects[i].device_times};
      timing.idle_ms = options.idle_ms;
      if (round == 0) timing.warm_up_seconds = options.warm_up_seconds;
      if (seconds) timing.max_seconds = *seconds / static_cast<double>(rounds * static_cast<int64_t>(subjects.size()));
      Timing part;
      Turn& turn = turns[i];
      const Status status = time_batches([&](int stream) { return turn.run(stream, nullptr); }, timing, part);
      turn.wall += part.wall_seconds();
      turn.timing.warm_up += part.warm_up;
      turn.timing.shortened |= part.shortened;
      if (round == 0)
        turn.timing.samples = std::move(part.samples);  // a copy would count in the peak of memory
      else
        turn.timing.samples.insert(turn.timing.samples.end(), part.samples.begin(), part.samples.end());
      VTL_TRY(status);
    }
  return {};
}

Status measure_in_turns(std::span<const BenchSubject> subjects, const BenchOptions& options, int64_t batch,
                        std::optional<double> max_seconds, int64_t rounds, std::vector<BenchReport>& reports) {
  std::vector<Turn> turns(subjects.size());
  const bool resettable = reset_peak_rss();
  for (size_t i = 0; i < subjects.size(); ++i) {
    BenchResult& result = turns[i].result;
    result.batch = batch;
    result.streams = options.streams;
    result.threads = options.threads;
    reports[i].peak_rss_resettable = resettable;
    VTL_ASSIGN(turns[i].run, subjects[i].prepare(batch, options.streams));
    if (subjects[i].planned_bytes) result.planned_bytes = subjects[i].planned_bytes(batch) * options.streams;
  }
  const double layer_share = options.layers ? kLayerShare : 0.0;
  std::optional<double> seconds;
  if (max_seconds) seconds = options.warm_up_seconds ? *max_seconds : *max_seconds * (1 - layer_share);
  Status status = take_turns(subjects, options, rounds, seconds, turns);
  for (size_t i = 0; i < subjects.size(); ++i) {
    const BenchSubject& subject = subjects[i];
    Turn& turn = turns[i];
    finish(subject, options, std::move(turn.timing), turn.wall, turn.result);
    turn.result.peak_rss_bytes = peak_rss_bytes();
    if (subject.device_bytes) turn.result.device_bytes = subject.device_bytes();
    if (status.ok() && options.layers && !subject.layers.empty())
      status = time_layers(subject, turn.run, options,
                           max_seconds ? *max_seconds * layer_share / static_cast<double>(subjects.size()) : HUGE_VAL, turn.result);
    if (turn.result.iterations > 0) reports[i].results.push_back(std::move(turn.result));
  }
  return status.with_context(fmt::format("batch {}", batch));
}

BenchReport begin_report(const BenchSubject& subject, const BenchOptions& options) {
  BenchReport report;
  report.model = subject.model;
  report.engine_hash = subject.engine_hash;
  report.backend = subject.backend;
  report.precision = subject.precision;
  report.isa = subject.isa;
  report.label =
      subject.label.empty() ? fmt::format("{} ({})", subject.precision, subject.backend) : subject.label;
  report.runner = subject.runner;
  report.machine = this_machine();
  report.machine.gpu = subject.gpu;
  report.timestamp = utc_timestamp();
  report.peak_gflops = options.peak_gflops;
  report.peak_int8_gflops = options.peak_int8_gflops;
  report.warm_up = options.warm_up;
  report.iterations = options.iterations;
  report.idle_ms = options.idle_ms;
  report.max_seconds = options.max_seconds;
  return report;
}

// `one` measures a batch size within a time.
Status for_each_batch(const BenchOptions& options, const std::function<Status(int64_t batch, std::optional<double> seconds)>& one) {
  const auto total = static_cast<int64_t>(options.batches.size());
  const int64_t start = options.clock();
  Status status;
  for (int64_t i = 0; i < total && status.ok(); ++i) {
    if (options.progress) options.progress(i, total);
    std::optional<double> share;
    if (options.max_seconds) {
      const double left = *options.max_seconds - seconds_since(start, options.clock);
      share = std::max(left / static_cast<double>(total - i), 1e-9);
    }
    status = one(options.batches[static_cast<size_t>(i)], share);
  }
  if (options.progress && status.ok()) options.progress(total, total);
  return status;
}

}  // namespace

Status run_bench(const BenchSubject& subject, const BenchOptions& options, BenchReport& report) {
  std::vector<BenchReport> reports;
  const Status status = run_bench_in_turns({&subject, 1}, options, 1, reports);
  report = reports.empty() ? BenchReport() : std::move(reports[0]);
  return status;
}

Status run_bench_in_turns(std::span<const BenchSubject> subjects, const BenchOptions& options, int rounds,
                          std::vector<BenchReport>& reports) {
  reports.clear();
  VTL_TRY(check(options));
  if (rounds < 1) return usage_error("{} rounds; it must be at least 1", rounds);
  for (const BenchSubject& subject : subjects) reports.push_back(begin_report(subject, options));
  const int64_t most = std::min<int64_t>(rounds, std::max<int64_t>(options.iterations, 1));
  const Status status = for_each_batch(options, [&](int64_t batch, std::optional<double> seconds) {
    return measure_in_turns(subjects, options, batch, seconds, most, reports);
  });
  for (BenchReport& report : reports) {
    report.cancelled = status.code() == Code::kCancelled;
    add_warnings(report);
  }
  return status;
}

}  // namespace vitrail
