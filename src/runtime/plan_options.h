// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace vitrail {

// What a build is told beyond CompileOptions where a library of its own (TensorRT) makes the engine.
struct PlanOptions {
  std::vector<Profile> profiles;                // at least one
  int64_t workspace_bytes = int64_t{1} << 30;   // of device memory that a layer may take beside its operands
  int opt_level = -1;                           // 0 to 5; -1: the library's default
  std::string target;                           // "sm_75" …, "current", "all"; empty: as the library likes
  bool version_compatible = false;              // runs with later versions of the library
  bool hardware_compatible = false;             // runs on later GPUs
  bool strip_weights = false;                   // the plan holds none; they stay in the .vtl
  bool refit = false;                           // the plan's weights can be exchanged
  std::string load_plan;                        // a bare plan made elsewhere, instead of building one; empty: none
  std::string save_plan;                        // file for the bare plan; empty: none
};

}  // namespace vitrail
