// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "verify/verify.h"
#include "workflow/build.h"

namespace vitrail {

struct CheckOptions {
  ModelOptions model;  // how to import the reference
  // Exactly one of these three.
  std::string images;  // folder
  std::string inputs;  // folder of .npy and .npz
  int64_t random = 0;
  int64_t max_samples = 0;  // the first so many, evenly spread; 0: all
  Tolerance tolerance;
  std::vector<int64_t> batches = {1, 4};
  std::string isa;
  int threads = 1;
  std::function<void(int64_t done, int64_t total)> progress;
};

// Runs the engine and, on the reference backend, the model that it claims to be, and compares outputs and the
// value at the end of each stage of the engine's fused graph. The samples are the engine's: where it takes
// bytes and the model floats, the model gets them normalised as the preprocessing contract says.
Result<VerifyReport> check_engine(const std::string& engine_path, const std::string& model_path,
                                  const CheckOptions& options);

}  // namespace vitrail
