// SPDX-License-Identifier: Apache-2.0
// What a model has done, in the protocol's terms. All members may be called from several threads at once.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "serve/fault.h"

namespace vitrail::serve {

// Counts in buckets whose bounds grow by a constant factor; the last one has no upper bound.
class Histogram {
 public:
  Histogram(double first_bound, double factor, size_t buckets);
  void add(double value);

  double bound(size_t bucket) const { return bounds_[bucket]; }  // of all buckets but the last
  std::span<const double> bounds() const { return bounds_; }
  std::span<const uint64_t> counts() const { return counts_; }  // not cumulative; one more than bounds
  double sum() const { return sum_; }
  uint64_t count() const { return count_; }
  // The value that a share `q` of all lie under, on a line within its bucket; 0 when nothing was counted.
  double quantile(double q) const;

 private:
  std::vector<double> bounds_;
  std::vector<uint64_t> counts_;
  double sum_ = 0;
  uint64_t count_ = 0;
};

struct Duration {
  uint64_t count = 0;
  uint64_t ns = 0;
  void add(int64_t nanoseconds, uint64_t times = 1) {
    count += times;
    ns += static_cast<uint64_t>(nanoseconds > 0 ? nanoseconds : 0) * times;
  }
};

// Where the time of one batch went, nanoseconds.
struct BatchTimes {
  int64_t input_ns = 0;  // gathering and checking
  int64_t infer_ns = 0;
  int64_t output_ns = 0;
};

struct BatchStatistics {
  Duration input, infer, output;
};

struct Snapshot {
  Duration success, fail, queue, input, infer, output;
  uint64_t inference_count = 0;     // rows
  uint64_t execution_count = 0;     // batches
  int64_t last_inference_ms = 0;    // since 1970
  std::map<int64_t, BatchStatistics> batches;  // by rows
  uint64_t rejected = 0, cancelled = 0, failed_backend = 0, failed_other = 0;
  // Seconds from arrival to answer and in the queue; rows of a batch.
  Histogram latency{25e-6, 1.189207115, 88}, queued{25e-6, 1.189207115, 88}, rows{1, 2, 9};
};

class Statistics {
 public:
  void succeeded(int64_t total_ns, int64_t queued_ns, const BatchTimes& batch);
  void failed(int64_t total_ns, Cause cause);
  void ran(int64_t rows, const BatchTimes& batch);
  Snapshot snapshot() const;

 private:
  mutable std::mutex mutex_;
  Snapshot now_;
};

}  // namespace vitrail::serve
