// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "vitrail/tensor.h"

namespace vitrail {

// Samples that a library's own calibration runs (TensorRT 8.5 to 10).
struct CalibrationFeed {
  int64_t count = 0;
  // Sample `index`: every input of the graph by name, its first extent 1.
  std::function<Result<std::vector<NamedTensor>>(int64_t index)> load;
  std::string cache;  // file of the ranges, in the library's own format: read where it exists, else written
  bool wanted() const { return count > 0 || !cache.empty(); }
};

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
  std::string plugins;                          // whether Vitrail's kernels take part: "off", "on", "auto"; empty: as is known to be best
  std::string load_plan;                        // a bare plan made elsewhere, instead of building one; empty: none
  std::string save_plan;                        // file for the bare plan; empty: none
  CalibrationFeed calibration;                  // for int8 of a float model
};

}  // namespace vitrail
