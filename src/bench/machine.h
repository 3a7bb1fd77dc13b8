// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/backend.h"

namespace vitrail {

// The machine that figures were taken on. Fields that the system does not tell stay empty or 0.
struct Machine {
  std::string cpu;                     // model name
  int cores = 0;                       // that this process may use
  std::vector<std::string> isa_flags;  // those that matter to the kernels, in the kernel's spelling
  int64_t memory_bytes = 0;
  std::string kernel;             // "Linux 6.1.0"
  std::string governor;           // of core 0: "performance", "powersave", …
  std::optional<DeviceInfo> gpu;  // that the engine ran on; the caller knows
};

Machine this_machine();

// Now, as ISO 8601 in UTC: "2025-01-31T12:00:00Z".
std::string utc_timestamp();

}  // namespace vitrail
