// SPDX-License-Identifier: Apache-2.0
// Triton's trace extension: which requests are traced.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "serve/fault.h"

namespace vitrail::serve {

struct TraceValues {
  bool timestamps = false;    // trace_level: TIMESTAMPS
  uint32_t rate = 1000;       // one request of so many; 0: only those that a client asks for by its traceparent
  int32_t count = -1;         // so many traces, then no more; -1: no end
  uint32_t log_frequency = 0;  // so many traces a file; 0: all go into one
  bool tensors = false;       // trace_level: TENSORS
  bool on() const { return timestamps || tensors; }
};

// trace_level: none of them is OFF.
struct TraceLevels {
  bool timestamps = false, tensors = false;
};

// The requests that were sampled under one and the same setting.
struct TraceGroup {
  explicit TraceGroup(const TraceValues& v) : values(v), left(v.count), unwritten(v.count) {}
  const TraceValues values;
  mutable std::atomic<uint64_t> seen{0};
  mutable std::atomic<int64_t> left;       // may still be sampled, when count >= 0
  mutable std::atomic<int64_t> unwritten;  // are still to be written, when count >= 0
};

// All members may be called from several threads at once. Settings of a model lie over the global ones, which lie over
// those that the server was started with.
class TraceSettings {
 public:
  // `writable`: whether traces can be kept at all; without that nothing may turn them on. `tensors`: whether what keeps
  // them takes tensors.
  explicit TraceSettings(const TraceValues& start, bool writable = true, bool tensors = true);

  // The group that this request belongs to when it is traced, else null. One whose caller traces it (`asked`) is traced
  // whatever rate and count say. No lock while everything is off.
  std::shared_ptr<const TraceGroup> sample(const std::string& model, bool asked);

  // trace_level, trace_rate, trace_count and log_frequency of `settings` are taken over, all or none of them; null
  // clears one. `model` is empty for the global settings.
  Fault update(const std::string& model, const nlohmann::json& settings);
  // As they are now; the count is that of the traces left.
  TraceValues values(const std::string& model) const;

 private:
  struct Overrides {
    std::optional<TraceLevels> levels;
    std::optional<uint32_t> rate, log_frequency;
    std::optional<int32_t> count;
    bool empty() const { return !levels && !rate && !log_frequency && !count; }
    TraceValues over(TraceValues values) const;
  };
  struct Setting {
    Overrides overrides;
    std::shared_ptr<const TraceGroup> group;
  };
  static Fault read(const nlohmann::json& settings, Overrides& to);
  const std::shared_ptr<const TraceGroup>& group(const std::string& model) const;

  const TraceValues start_;
  const bool writable_, tensors_;
  std::atomic<bool> any_{false};  // whether some setting traces
  mutable std::mutex mutex_;      // guards what follows
  Setting global_;
  std::map<std::string, Setting> models_;
};

}  // namespace vitrail::serve
