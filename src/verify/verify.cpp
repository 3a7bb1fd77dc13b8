// SPDX-License-Identifier: Apache-2.0
#include "verify/verify.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "core/cancel.h"
#include "core/error.h"
#include "verify/agreement.h"
#include "verify/elements.h"
#include "verify/rows.h"
#include "verify/sample_hash.h"

namespace vitrail {
namespace {

constexpr int64_t kMaxBatch = 4096;

const Tensor* find(const std::vector<NamedTensor>& list, const std::string& name) {
  const auto it = std::ranges::find(list, name, &NamedTensor::name);
  return it == list.end() ? nullptr : &it->tensor;
}

struct OutputState {
  TensorErrorAccumulator error;
  Agreement agreement;
};

// All that is summed up over the samples.
class Comparison {
 public:
  Comparison(std::span<const StagePoint> stages, const VerifyOptions& options) : points_(stages) {
    for (const StagePoint& point : stages) stages_.emplace_back(point.value);
    for (size_t i = 1; i < options.batches.size(); ++i)
      batches_.push_back({options.batches[i], options.batches[0]});
  }

  Status add(const SubjectValues& got, const SubjectValues& want) {
    if (outputs_.empty()) {
      for (const NamedTensor& w : want.outputs) outputs_.push_back({TensorErrorAccumulator(w.name), {}});
    }
    for (size_t i = 0; i < want.outputs.size(); ++i) {
      const NamedTensor& w = want.outputs[i];
      const Tensor* g = find(got.outputs, w.name);
      if (!g)
        return bad_input("the engine has no output '{}', which the reference has; are they the same model?",
                         w.name);
      if (g->shape() != w.tensor.shape())
        return bad_input("output '{}': the engine gives {}, the reference {}; are they the same model?",
                         w.name, to_string(g->shape()), to_string(w.tensor.shape()));
      VTL_ASSIGN(const auto g_values, elements(g->view()));
      VTL_ASSIGN(const auto w_values, elements(w.tensor.view()));
      outputs_[i].error.add(g_values, w_values, w.tensor.shape());
      if (g->rank() != 2) continue;
      const auto classes = static_cast<size_t>(g->dim(1));
      for (size_t at = 0; at < w_values.size(); at += classes)
        outputs_[i].agreement.add_row(std::span(g_values).subspan(at, classes),
                                      std::span(w_values).subspan(at, classes));
    }
    for (size_t i = 0; i < points_.size(); ++i) {
      const Tensor* g = find(got.values, points_[i].value);
      const Tensor* w = find(want.values, points_[i].value);
      if (!g || !w)
        return bad_input("stage '{}': {} does not give the value '{}'", points_[i].stage,
                         g ? "the reference" : "the engine", points_[i].value);
      VTL_TRY(stages_[i].add(g->view(), w->view()).with_context("stage '" + points_[i].stage + "'"));
    }
    return Status();
  }

  // A sample's outputs at the first batch size and at the `index`-th of the others.
  Status add_batch(size_t index, const SubjectValues& base, const SubjectValues& other) {
    BatchInvariance& b = batches_[index];
    for (const NamedTensor& want : base.outputs) {
      const Tensor* got = find(other.outputs, want.name);
      if (!got || got->bytes() != want.tensor.bytes())
        return bad_input("output '{}' has another shape at batch {}", want.name, b.batch);
      if (std::memcmp(got->data(), want.tensor.data(), got->bytes()) == 0) continue;
      b.bit_identical = false;
      TensorErrorAccumulator error(want.name);
      VTL_TRY(error.add(got->view(), want.tensor.view()));
      const TensorError e = error.result();
      b.max_abs = std::max(b.max_abs, e.max_abs);
      b.max_scaled = std::max(b.max_scaled, e.max_scaled);
    }
    return Status();
  }

  void finish(VerifyReport& report) const {
    for (const OutputState& o : outputs_)
      report.outputs.push_back({o.error.result(), o.agreement.top1(), o.agreement.top5(), true});
    for (size_t i = 0; i < points_.size(); ++i)
      report.stages.push_back({stages_[i].result(), points_[i].stage});
    report.batch_invariant = batches_;
    judge(report);
  }

 private:
  std::span<const StagePoint> points_;
  std::vector<OutputState> outputs_;
  std::vector<TensorErrorAccumulator> stages_;
  std::vector<BatchInvariance> batches_;
};

Status check(const SampleSource& samples, const VerifyOptions& options) {
  if (samples.count < 1) return usage_error("there are no samples to verify with");
  if (options.batches.empty()) return usage_error("no batch size was given to verify at");
  for (int64_t batch : options.batches) {
    if (batch < 1 || batch > kMaxBatch)
      return usage_error("batch size {}; it must be 1 to {}", batch, kMaxBatch);
  }
  if (options.reference_batch < 1 || options.reference_batch > kMaxBatch)
    return usage_error("reference batch size {}; it must be 1 to {}", options.reference_batch, kMaxBatch);
  return Status();
}

}  // namespace

Result<VerifyReport> verify(const VerifySubject& got, const VerifySubject& want, const SampleSource& samples,
                            std::span<const StagePoint> stages, const VerifyOptions& options) {
  VTL_TRY(check(samples, options));
  std::vector<std::string> values;
  for (const StagePoint& point : stages) values.push_back(point.value);

  Comparison comparison(stages, options);
  SampleHash hash;
  const int64_t chunk_size = std::max(std::ranges::max(options.batches), options.reference_batch);
  for (int64_t begin = 0; begin < samples.count; begin += chunk_size) {
    if (cancel::requested()) return cancelled();
    std::vector<std::vector<NamedTensor>> chunk;
    for (int64_t i = begin; i < std::min(begin + chunk_size, samples.count); ++i) {
      VTL_ASSIGN(auto sample, samples.load(i));
      hash.add(sample);
      chunk.push_back(std::move(sample));
    }
    VTL_ASSIGN(const auto wanted, run_rows(want, chunk, options.reference_batch, values));
    VTL_ASSIGN(const auto base, run_rows(got, chunk, options.batches[0], values));
    for (size_t i = 0; i < chunk.size(); ++i) VTL_TRY(comparison.add(base[i], wanted[i]));
    for (size_t b = 1; b < options.batches.size(); ++b) {
      VTL_ASSIGN(const auto other, run_rows(got, chunk, options.batches[b], {}));
      for (size_t i = 0; i < chunk.size(); ++i) VTL_TRY(comparison.add_batch(b - 1, base[i], other[i]));
    }
    if (options.progress) options.progress(begin + static_cast<int64_t>(chunk.size()), samples.count);
  }

  VerifyReport report;
  report.tolerance = options.tolerance;
  report.samples = samples.count;
  report.dataset = samples.description;
  report.dataset_hash = hash.hex();
  report.subject = got.name;
  report.reference = want.name;
  comparison.finish(report);
  return report;
}

}  // namespace vitrail
