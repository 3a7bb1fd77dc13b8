// SPDX-License-Identifier: Apache-2.0
#include "serve/statistics.h"

#include <algorithm>
#include <chrono>

namespace vitrail::serve {

Histogram::Histogram(double first_bound, double factor, size_t buckets) : counts_(buckets) {
  for (size_t i = 0; i + 1 < buckets; ++i, first_bound *= factor) bounds_.push_back(first_bound);
}

void Histogram::add(double value) {
  ++counts_[static_cast<size_t>(std::ranges::lower_bound(bounds_, value) - bounds_.begin())];
  sum_ += value;
  ++count_;
}

double Histogram::quantile(double q) const {
  const double wanted = q * static_cast<double>(count_);
  double below = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    const auto here = static_cast<double>(counts_[i]);
    if (here > 0 && below + here >= wanted) {
      if (i == bounds_.size()) return bounds_.back();
      const double low = i == 0 ? 0 : bounds_[i - 1];
      return low + (bounds_[i] - low) * (wanted - below) / here;
    }
    below += here;
  }
  return 0;
}

void Statistics::succeeded(int64_t total_ns, int64_t queued_ns, const BatchTimes& batch) {
  const std::lock_guard lock(mutex_);
  now_.success.add(total_ns);
  now_.queue.add(queued_ns);
  now_.input.add(batch.input_ns);
  now_.infer.add(batch.infer_ns);
  now_.output.add(batch.output_ns);
  now_.latency.add(static_cast<double>(total_ns) * 1e-9);
  now_.queued.add(static_cast<double>(queued_ns) * 1e-9);
}

void Statistics::failed(int64_t total_ns, Cause cause) {
  const std::lock_guard lock(mutex_);
  now_.fail.add(total_ns);
  switch (cause) {
    case Cause::kBusy:
    case Cause::kExpired:
    case Cause::kUnready:
      ++now_.rejected;
      break;
    case Cause::kCancelled:
      ++now_.cancelled;
      break;
    case Cause::kInternal:
      ++now_.failed_backend;
      break;
    default:
      ++now_.failed_other;
  }
}

void Statistics::ran(int64_t rows, const BatchTimes& batch) {
  const std::lock_guard lock(mutex_);
  now_.inference_count += static_cast<uint64_t>(rows);
  ++now_.execution_count;
  now_.last_inference_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  BatchStatistics& b = now_.batches[rows];
  b.input.add(batch.input_ns);
  b.infer.add(batch.infer_ns);
  b.output.add(batch.output_ns);
  now_.rows.add(static_cast<double>(rows));
}

Snapshot Statistics::snapshot() const {
  const std::lock_guard lock(mutex_);
  return now_;
}

}  // namespace vitrail::serve
