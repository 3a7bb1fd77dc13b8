// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/report.h"
#include "workflow/build.h"
#include "workflow/check.h"
#include "workflow/measure.h"

namespace vitrail {

inline constexpr int kOptimizeRounds = 5;  // in which the engines of several precisions are measured

struct OptimizeOptions {
  BuildOptions build;
  std::vector<std::string> precisions;  // empty: build.precision alone
  std::string images;          // folder of pictures to verify on
  int64_t verify_samples = 0;  // at most so many; 0: all
  BenchOptions bench;
  std::vector<std::string> peers;  // further result files for the report
};

// What became of one precision.
struct OptimizedEngine {
  std::string precision, path;
  BuildOutcome build;
  VerifyReport verify;
  BenchReport bench;
  Status status;  // of the step that it failed at; what it did before is kept
};

struct OptimizeOutcome {
  std::vector<OptimizedEngine> engines;  // in the order of the precisions
  std::vector<std::string> warnings;
  report::Report report;
};

// What an engine may be off in a precision. FP32: Tolerance's own. TF32 and FP16 round to 11 bits, BF16 to 8, but sums stay in
// FP32: 5e-2 leaves a factor of ten over what ViTs show. In 8 bits the answer counts, not the number.
Tolerance tolerance_of(std::string_view precision);

// Builds, verifies on the pictures, certifies, benchmarks (in rounds that take turns) and reports into `folder`: engine.vtl,
// verify.json, bench.json, of several precisions engine_fp16.vtl and so on, and report.{json,md,html}. int8 of a float model
// with build.calibrate goes through quantize_model() first, into model_int8.onnx. fp8 without build.calibrate takes the
// pictures, with a warning. A precision that fails does not stop the others; the first failure is returned after the report.
Status optimize(const std::string& model_path, const std::string& folder, const OptimizeOptions& options,
                OptimizeOutcome& outcome);

}  // namespace vitrail
