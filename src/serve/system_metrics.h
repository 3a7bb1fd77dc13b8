// SPDX-License-Identifier: Apache-2.0
// The machine's own figures, under Triton's names.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "serve/nvml.h"

namespace vitrail::serve {

struct CpuTimes {
  uint64_t busy = 0, total = 0;  // ticks of all cores since the machine started
};
// The first line of /proc/stat; nothing when it is not that.
std::optional<CpuTimes> read_cpu_times(std::string_view stat);

struct MemoryState {
  uint64_t total_bytes = 0, used_bytes = 0;  // used: not to be had without pushing something out
};
// /proc/meminfo.
std::optional<MemoryState> read_memory_state(std::string_view meminfo);

// May be asked by several threads at once.
class SystemMetrics {
 public:
  // `nvml` is null where there is no GPU; then nothing is said of any.
  explicit SystemMetrics(std::unique_ptr<Nvml> nvml);
  // In Prometheus' text format. The CPU's utilization is that since the last call.
  std::string text();

 private:
  const std::unique_ptr<Nvml> nvml_;
  std::mutex mutex_;  // guards what follows, and NVML
  CpuTimes last_;
  double utilization_ = 0;
  std::vector<GpuState> start_;  // for the energy since then
};

}  // namespace vitrail::serve
