// SPDX-License-Identifier: Apache-2.0
// How far a model's answers on some samples are from another's.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "verify/agreement.h"
#include "workflow/sample_runner.h"

namespace vitrail {

struct Score {
  std::optional<double> top1;  // share of rows with the same first class, over outputs [N, classes]
  double cosine = 1;           // mean over samples and float32 outputs
  double min_cosine = 1;
  double correlation = 1;  // Pearson's, mean likewise: what counts for maps
  int64_t samples = 0;
  bool meets(double max_drop, double least_cosine) const {
    return (!top1 || 1 - *top1 <= max_drop + 1e-12) && cosine >= least_cosine;
  }
};

nlohmann::ordered_json to_json(const Score& score);

// One float32 output of one sample.
struct Answer {
  std::vector<double> values;
  bool is_logits = false;  // [1, classes]
};
using Answers = std::vector<Answer>;
Answers answers_of(const SampleRunner& runner);

class ScoreKeeper {
 public:
  void add(const Answers& got, const Answers& want);
  Score score() const;

 private:
  Agreement agreement_;
  double sum_ = 0, least_ = 1, correlations_ = 0;
  int64_t cosines_ = 0, samples_ = 0;
};

// Cosine of two vectors; 1 where both are zero, 0 where one is, NaN counts as 0.
double cosine(const std::vector<double>& a, const std::vector<double>& b);
// The cosine of what is left of two vectors without their means.
double correlation(std::vector<double> a, std::vector<double> b);

}  // namespace vitrail
