// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/common.h"
#include "runtime/plan_options.h"

namespace vitrail::cli {

// What `build` and `optimize` hand to the tensorrt backend alone.
struct PlanFlags {
  PlanOptions plan;
  void add(CLI::App& verb);
  // kUsage where one is given for another backend, or makes no sense.
  Status apply(BuildOptions& options) const;

 private:
  CLI::App* verb_ = nullptr;
};

}  // namespace vitrail::cli
