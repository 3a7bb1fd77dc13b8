// SPDX-License-Identifier: Apache-2.0
#include "workflow/score.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace vitrail {

nlohmann::ordered_json to_json(const Score& score) {
  nlohmann::ordered_json j;
  j["top1_agreement"] = score.top1 ? nlohmann::ordered_json(*score.top1) : nlohmann::ordered_json(nullptr);
  j["cosine"] = score.cosine;
  j["min_cosine"] = score.min_cosine;
  j["correlation"] = score.correlation;
  j["samples"] = score.samples;
  return j;
}

Answers answers_of(const SampleRunner& runner) {
  Answers answers;
  for (const Tensor& t : runner.outputs()) {
    if (t.dtype() != DType::kF32) continue;
    const auto values = t.as<float>();
    answers.push_back({{values.begin(), values.end()}, t.rank() == 2 && t.dim(0) == 1 && t.dim(1) > 1});
  }
  return answers;
}

double cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
  if (aa == 0 && bb == 0) return 1;
  const double c = ab / std::sqrt(aa * bb);
  return std::isfinite(c) ? c : 0;
}

double correlation(std::vector<double> a, std::vector<double> b) {
  for (std::vector<double>* v : {&a, &b}) {
    double mean = 0;
    for (double x : *v) mean += x / static_cast<double>(v->size());
    for (double& x : *v) x -= mean;
  }
  return cosine(a, b);
}

void ScoreKeeper::add(const Answers& got, const Answers& want) {
  ++samples_;
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    const double c = cosine(got[i].values, want[i].values);
    sum_ += c;
    correlations_ += correlation(got[i].values, want[i].values);
    least_ = std::min(least_, c);
    ++cosines_;
    if (want[i].is_logits) agreement_.add_row(got[i].values, want[i].values);
  }
}

Score ScoreKeeper::score() const {
  Score s;
  s.top1 = agreement_.top1();
  s.cosine = cosines_ ? sum_ / static_cast<double>(cosines_) : 1;
  s.min_cosine = least_;
  s.correlation = cosines_ ? correlations_ / static_cast<double>(cosines_) : 1;
  s.samples = samples_;
  return s;
}

}  // namespace vitrail
