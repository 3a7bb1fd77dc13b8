// SPDX-License-Identifier: Apache-2.0
// NVIDIA's management library, found when the program runs: what a GPU does and has.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vitrail::serve {

// What a GPU does not tell is not there.
struct GpuState {
  std::string uuid;
  std::optional<double> utilization;  // 0 to 1
  std::optional<uint64_t> total_bytes, used_bytes;
  std::optional<double> power_watts, power_limit_watts;
  std::optional<double> energy_joules;  // since the driver was loaded
};

class Nvml {
 public:
  // Null where there is no such library, or no driver below it.
  static std::unique_ptr<Nvml> open(const std::string& library = "libnvidia-ml.so.1");
  ~Nvml();
  // Of every GPU that can be asked, now. Used by one thread at a time.
  std::vector<GpuState> read() const;

 private:
  struct Functions;
  Nvml();
  std::unique_ptr<Functions> functions_;
  void* library_ = nullptr;
};

}  // namespace vitrail::serve
