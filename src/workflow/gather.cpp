// SPDX-License-Identifier: Apache-2.0
#include "workflow/gather.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "core/cancel.h"
#include "core/error.h"
#include "passes/pipeline.h"
#include "verify/sample_hash.h"
#include "workflow/sample_runner.h"

namespace vitrail {
namespace {

// Follows values of the model wherever the runner's graph holds them.
class Follower : public Observer {
 public:
  Follower(const Graph& model, const std::vector<ValueId>& wanted, const Graph& run, int64_t rows_a_sample)
      : rows_a_sample_(rows_a_sample), slots_(run.values.size()) {
    std::unordered_map<std::string, ValueId> places;
    for (size_t i = 0; i < run.values.size(); ++i) places.emplace(run.values[i].name, static_cast<ValueId>(i));
    for (ValueId id : wanted) {
      const Value& value = model.value(id);
      const auto place = places.find(value.name);
      if (place == places.end()) continue;  // whoever needs its statistics will say that they are missing
      Slot& slot = slots_[static_cast<size_t>(place->second)];
      slot.name = value.name;
      // Images and maps [N,C,H,W] have no channels in the last place.
      const bool rows = value.shape && value.shape->size() != 4 && !value.shape->empty();
      slot.channels = rows && value.shape->back().is_fixed() ? static_cast<size_t>(value.shape->back().fixed) : 0;
    }
  }

  bool wants_values() const override { return true; }
  void on_value(ValueId id, const TensorView& content) override {
    Slot& slot = slots_[static_cast<size_t>(id)];
    if (slot.name.empty() || content.dtype != DType::kF32) return;
    const auto values = content.as<float>();
    slot.stats.add(values, slot.channels);
    if (slot.channels > 0 && values.size() % slot.channels == 0) keep_rows(slot, values);
  }
  void next_sample() { ++sample_; }

  void hand_over(GatheredValues& out) {
    for (Slot& slot : slots_) {
      if (slot.name.empty()) continue;
      out.stats[slot.name] = std::move(slot.stats);
      out.probes[slot.name] = {slot.channels, std::move(slot.rows)};
    }
  }

 private:
  struct Slot {
    std::string name;
    size_t channels = 0;
    quant::ValueStats stats;
    std::vector<float> rows;
  };

  // The first row, which may be the class token, and some of the others, other ones in each sample.
  void keep_rows(Slot& slot, std::span<const float> values) const {
    const int64_t rows = std::ssize(values) / static_cast<int64_t>(slot.channels);
    const int64_t kept = std::min(rows, rows_a_sample_);
    for (int64_t i = 0; i < kept; ++i) {
      const int64_t row = i == 0 ? 0 : (i * rows / kept + sample_ * 7) % rows;
      const auto from = values.subspan(static_cast<size_t>(row) * slot.channels, slot.channels);
      if (std::ranges::all_of(from, [](float v) { return std::isfinite(v); }))
        slot.rows.insert(slot.rows.end(), from.begin(), from.end());
    }
  }

  int64_t rows_a_sample_, sample_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace

Result<GatheredValues> gather(const GatherRequest& request, const SampleSource& source, int64_t count,
                              int64_t probe_rows) {
  const int64_t rows_a_sample = std::max<int64_t>(1, (probe_rows + count - 1) / count);
  Graph fused = request.graph;
  // Outputs outlive every pass under their names; between products the fused graph holds them anyway.
  for (ValueId id : request.values)
    if (std::ranges::find(fused.outputs, id) == fused.outputs.end() &&
        std::ranges::find(fused.inputs, id) == fused.inputs.end())
      fused.outputs.push_back(id);
  VTL_TRY(fuse(fused).status());
  VTL_ASSIGN(SampleRunner runner, SampleRunner::make(fused, request.threads));
  Follower follower(request.graph, request.values, runner.graph(), rows_a_sample);
  GatheredValues out;
  SampleHash hash;
  for (int64_t i = 0; i < count && !cancel::requested(); ++i) {
    const auto sample = source.load(i * source.count / count);
    if (!sample.ok()) {
      out.skipped.push_back(sample.status().message());
    } else {
      VTL_TRY(runner.run(*sample, &follower).with_context(fmt::format("calibration sample {}", i)));
      hash.add(*sample);
      ++out.samples;
    }
    follower.next_sample();
    if (request.advanced) request.advanced();
  }
  out.hash = hash.hex();
  follower.hand_over(out);
  return out;
}

}  // namespace vitrail
