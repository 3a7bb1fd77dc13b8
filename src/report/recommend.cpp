// SPDX-License-Identifier: Apache-2.0
#include "report/recommend.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "report/format.h"

namespace vitrail::report {
namespace {

const Point& fastest(const Run& run) {
  return *std::ranges::max_element(run.points, {}, &Point::images_per_second);
}

int bits(const std::string& precision) {
  if (precision.find("16") != std::string::npos) return 16;
  if (precision.find('8') != std::string::npos) return 8;
  return 32;
}

std::optional<size_t> first_where(const Data& data, auto&& condition) {
  for (size_t i = 0; i < data.runs.size(); ++i) {
    if (!data.runs[i].points.empty() && condition(data.runs[i])) return i;
  }
  return std::nullopt;
}

// What may be recommended, best first: engines that say what they are, engines of a comparison that does not,
// and the reference backend.
enum class Rank { kEngine, kUnnamed, kReference };

Rank rank_of(const Run& run) {
  if (run.is_reference()) return Rank::kReference;
  return run.engine_hash.empty() ? Rank::kUnnamed : Rank::kEngine;
}

std::optional<size_t> choose(const Data& data, Rank rank) {
  std::optional<size_t> best;
  auto eligible = [&](const Run& run) {
    return run.kind == Kind::kVitrail && rank_of(run) == rank && !run.points.empty() &&
           verification_of(run, data) != Verified::kFailed;
  };
  for (size_t i = 0; i < data.runs.size(); ++i) {
    if (!eligible(data.runs[i])) continue;
    if (!best || fastest(data.runs[i]).images_per_second > fastest(data.runs[*best]).images_per_second)
      best = i;
  }
  if (!best) return best;
  const double enough = fastest(data.runs[*best]).images_per_second / kWorthwhileGain;
  for (size_t i = 0; i < data.runs.size(); ++i) {
    if (eligible(data.runs[i]) && fastest(data.runs[i]).images_per_second >= enough &&
        bits(data.runs[i].precision) > bits(data.runs[*best].precision))
      best = i;
  }
  return best;
}

// A certificate written into the engine changes its hash, so the engine's description counts as well.
bool is_of(const Verification& v, const Run& run) {
  const bool same_hash = !run.engine_hash.empty() && v.engine_hash == run.engine_hash;
  const bool same_build = !v.precision.empty() && v.precision == run.precision && v.backend == run.backend &&
                          v.model == run.model;
  return same_hash || same_build;
}

// Of the device where both ran on one.
std::optional<double> memory_reduction(const Point& p, const Point& b) {
  for (const auto member : {&Point::device_bytes, &Point::peak_rss_bytes})
    if (p.*member && b.*member && *(p.*member) > 0 && *(b.*member) > 0) return 1 - *(p.*member) / *(b.*member);
  return std::nullopt;
}

Gain gain_over_batch_one(const Run& run, int64_t batch) {
  Gain gain;
  gain.baseline = run.label + " at batch 1";
  gain.own_batch_one = true;
  gain.throughput_batch = batch;
  const Point *one = run.at(1), *many = run.at(batch);
  if (one && one->images_per_second > 0)
    gain.throughput_gain = many->images_per_second / one->images_per_second;
  return gain;
}

void add_notes(const Data& data, const Run& run, Recommendation& r) {
  std::set<std::string> precisions;
  bool pytorch = false;
  for (const Run& other : data.runs) {
    if (other.kind == Kind::kVitrail && !other.precision.empty() && !other.is_reference())
      precisions.insert(other.precision);
    pytorch |= other.kind == Kind::kPyTorch;
    if (other.kind == Kind::kVitrail && verification_of(other, data) == Verified::kFailed)
      r.notes.push_back(fmt::format("{} failed verification and was left out.", other.label));
  }
  if (precisions.size() <= 1)
    r.notes.push_back(fmt::format("Only one precision was measured ({}).",
                                  run.precision.empty() ? "not named" : run.precision));
  for (const Run& other : data.runs) {
    if (other.kind != Kind::kVitrail || other.is_reference() || other.points.empty() ||
        run.precision.empty() || bits(other.precision) >= bits(run.precision) ||
        fastest(other).images_per_second >= kWorthwhileGain * fastest(run).images_per_second)
      continue;
    r.notes.push_back(fmt::format("{} is not faster here than {}: {} images/s at best against {}.",
                                  other.precision, run.precision, number(fastest(other).images_per_second),
                                  number(fastest(run).images_per_second)));
  }
  if (!pytorch) r.notes.push_back("The original PyTorch model was not measured.");
  if (r.gain && r.gain->own_batch_one)
    r.notes.push_back(r.batch > 1 ? "Nothing else was measured, so the gain is that of batching over batch 1."
                                  : "Nothing else was measured.");
  if (run.points.size() == 1)
    r.notes.push_back(
        fmt::format("Only batch {} was measured; other sizes may be faster.", run.points[0].batch));
  if (r.verified == Verified::kNo) r.notes.push_back("The engine was not verified against the reference.");
  if (run.is_reference())
    r.notes.push_back("Only the reference backend was measured; it is not built for speed.");
  if (!on_one_machine(data))
    r.notes.push_back("The runs come from different machines; ratios between them compare the machines too.");
  if (std::ranges::any_of(run.points, &Point::shortened))
    r.notes.push_back("Runs were shortened; see the iterations in the latency table.");
}

std::string headline(const Run& run, const Recommendation& r) {
  const Point& point = *run.at(r.batch);
  const std::string precision = run.precision.empty() ? "" : run.precision + " ";
  std::string text =
      fmt::format("Run {}{} at batch {}: {} images/s, {} ms a batch", precision,
                  run.backend.empty() ? "with " + run.label : "on the " + run.backend + " backend", r.batch,
                  number(point.images_per_second), milliseconds(point.mean_us));
  if (!r.gain) return text + ".";
  if (r.gain->own_batch_one) {
    if (r.batch > 1 && r.gain->throughput_gain)
      text += fmt::format(", {} the throughput of batch 1", times(*r.gain->throughput_gain));
    return text + ".";
  }
  if (r.gain->throughput_gain)
    text += fmt::format(
        ", {} the throughput of {}{}", times(*r.gain->throughput_gain), r.gain->baseline,
        r.gain->throughput_batch == r.batch ? "" : fmt::format(" (at batch {})", r.gain->throughput_batch));
  return text + ".";
}

}  // namespace

const Verification* verification_for(const Run& run, const Data& data) {
  const auto it = std::ranges::find_if(data.verifications, [&](const Verification& v) { return is_of(v, run); });
  return it == data.verifications.end() ? nullptr : &*it;
}

Verified verification_of(const Run& run, const Data& data) {
  Verified found = Verified::kNo;
  for (const Verification& v : data.verifications) {
    if (!is_of(v, run)) continue;
    if (!v.passed) return Verified::kFailed;
    found = Verified::kPassed;
  }
  return found;
}

bool on_one_machine(const Data& data) {
  // Some programs add the family and flags to the name.
  const Run* first = nullptr;
  for (const Run& run : data.runs) {
    if (run.cpu.empty()) continue;
    if (!first) first = &run;
    if (!run.cpu.starts_with(first->cpu) && !first->cpu.starts_with(run.cpu)) return false;
  }
  // A run on the host names no GPU, and may be of the same machine.
  const Run* with_gpu = nullptr;
  for (const Run& run : data.runs) {
    if (run.gpu.empty()) continue;
    if (!with_gpu) with_gpu = &run;
    if (run.gpu != with_gpu->gpu) return false;
  }
  return true;
}

std::optional<size_t> baseline_of(const Data& data) {
  if (auto i = first_where(data, [](const Run& r) { return r.kind == Kind::kPyTorch; })) return i;
  if (auto i = first_where(data, [](const Run& r) { return r.kind == Kind::kPeer; })) return i;
  return first_where(data, [](const Run& r) { return r.is_reference(); });
}

const Memory& memory_of(const Data& data) {
  static constexpr Memory kDevice{&Point::device_bytes, "Device memory", "device memory",
                                  "above that of a bare context on the device"};
  static constexpr Memory kResident{&Point::peak_rss_bytes, "Peak resident memory", "peak resident memory",
                                    "most that was resident at once"};
  const auto on_device = [](const Run& run) {
    return std::ranges::any_of(run.points, [](const Point& p) { return p.device_bytes && *p.device_bytes > 0; });
  };
  return !data.runs.empty() && std::ranges::all_of(data.runs, on_device) ? kDevice : kResident;
}

Gain gain_over(const Run& run, const Run& baseline, int64_t batch) {
  Gain gain;
  gain.baseline = baseline.label;
  for (const Point& p : run.points) {
    const Point* b = baseline.at(p.batch);
    if (!b) continue;
    if (!gain.speed_up && p.mean_us > 0) {
      gain.speed_up = b->mean_us / p.mean_us;
      gain.speed_up_batch = p.batch;
    }
    if (gain.throughput_batch == batch || b->images_per_second <= 0) continue;
    gain.throughput_gain = p.images_per_second / b->images_per_second;
    gain.throughput_batch = p.batch;
    gain.memory_reduction = memory_reduction(p, *b);
  }
  return gain;
}

Recommendation recommend(const Data& data) {
  Recommendation r;
  for (Rank rank : {Rank::kEngine, Rank::kUnnamed, Rank::kReference}) {
    if (!r.run) r.run = choose(data, rank);
  }
  if (!r.run) {
    const bool failed =
        std::ranges::any_of(data.verifications, [](const Verification& v) { return !v.passed; });
    r.headline = failed ? "No engine can be recommended: verification failed."
                        : "No engine was measured, so none can be recommended.";
    for (const Verification& v : data.verifications)
      for (const std::string& failure : v.failures) r.notes.push_back(failure);
    return r;
  }
  const Run& run = data.runs[*r.run];
  const Point& best = fastest(run);
  r.throughput_batch = best.batch;
  r.latency_batch = std::ranges::min_element(run.points, {}, &Point::mean_us)->batch;
  r.batch = std::ranges::find_if(run.points, [&](const Point& p) {
              return p.images_per_second >= kKneeShare * best.images_per_second;
            })->batch;
  r.verified = verification_of(run, data);
  const auto baseline = baseline_of(data);
  if (baseline && *baseline != *r.run) {
    r.gain = gain_over(run, data.runs[*baseline], r.batch);
    if (!r.gain->throughput_gain && !r.gain->speed_up) r.gain.reset();
  }
  if (!r.gain && run.at(1)) r.gain = gain_over_batch_one(run, r.batch);
  add_notes(data, run, r);
  r.headline = headline(run, r);
  return r;
}

}  // namespace vitrail::report
