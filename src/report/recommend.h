// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/model.h"

namespace vitrail::report {

// Smallest share of the best throughput that counts as "all of it".
inline constexpr double kKneeShare = 0.95;
// A lower precision must be this much faster to be worth its error.
inline constexpr double kWorthwhileGain = 1.02;

struct Gain {
  std::string baseline;  // label of the run compared with, or of this run's own batch 1
  bool own_batch_one = false;
  std::optional<double> speed_up;         // mean latency of the baseline / of the engine
  int64_t speed_up_batch = 0;             // at this batch: the smallest both have
  std::optional<double> throughput_gain;  // images/s of the engine / of the baseline
  int64_t throughput_batch = 0;           // at this batch: the recommended, else the greatest both have
  std::optional<double>
      memory_reduction;  // 1 - peak memory of the engine / of the baseline, at throughput_batch
};

enum class Verified { kNo, kPassed, kFailed };

// What the figures support, and nothing else.
struct Recommendation {
  std::optional<size_t> run;  // index into Data::runs; none when nothing can be recommended
  int64_t batch = 0;          // the knee: smallest batch with kKneeShare of the best throughput
  int64_t latency_batch = 0;  // with the least mean latency
  int64_t throughput_batch = 0;
  std::optional<Gain> gain;
  Verified verified = Verified::kNo;
  std::string headline;            // one sentence
  std::vector<std::string> notes;  // what limits it
};

// The engine run with the best throughput of those that did not fail verification; of runs that are equally
// fast (within kWorthwhileGain) the one of the highest precision. The reference backend only when there is
// nothing else. The baseline is PyTorch, else another program, else the reference backend, else the same
// engine at batch 1.
Recommendation recommend(const Data& data);

// `run` against `baseline` where both were measured: throughput and memory at `batch` if they were, else at
// the greatest batch that they share.
Gain gain_over(const Run& run, const Run& baseline, int64_t batch);
// The run that the others are compared with: PyTorch, else another program, else the reference backend.
std::optional<size_t> baseline_of(const Data& data);
// The memory that runs are compared by: the device's where every run has it, else what was resident.
struct Memory {
  std::optional<double> Point::*bytes;
  const char *title, *name, *caption;
};
const Memory& memory_of(const Data& data);
// Whether every run that names its processor names the same one.
bool on_one_machine(const Data& data);
Verified verification_of(const Run& run, const Data& data);
const Verification* verification_for(const Run& run, const Data& data);  // the first; null: none

}  // namespace vitrail::report
