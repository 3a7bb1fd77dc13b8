// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "report/report.h"
#include "workflow/build.h"
#include "workflow/check.h"
#include "workflow/measure.h"

namespace vitrail {

struct OptimizeOptions {
  BuildOptions build;
  std::string images;          // folder of pictures to verify on
  int64_t verify_samples = 0;  // at most so many; 0: all
  BenchOptions bench;
  std::vector<std::string> peers;  // further result files for the report
};

struct OptimizeOutcome {
  BuildOutcome build;
  VerifyReport verify;
  BenchReport bench;
  report::Report report;
};

// For fp8 without build.calibrate, the pictures serve as calibration too, with a warning.
// Builds, verifies on the pictures, certifies, benchmarks and reports into `folder`: engine.vtl, verify.json,
// bench.json and report.{json,md,html}. Stops with kCheckFailed after the report when the check failed.
Status optimize(const std::string& model_path, const std::string& folder, const OptimizeOptions& options,
                OptimizeOutcome& outcome);

}  // namespace vitrail
