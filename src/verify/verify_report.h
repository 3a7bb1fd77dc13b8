// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "verify/tensor_error.h"

namespace vitrail {

// What an output may be off. Passed when, for every sample of every output, max_abs <= max_scaled × max|want|
// and the cosine is at least min_cosine, and nothing is NaN or infinite.
//
// The defaults are for FP32. Rounding of a sum of K products is about sqrt(K) eps of the norms; over L such
// sums one after the other the errors add like a random walk: eps sqrt(K L) = 6e-8 × sqrt(3072 × 48) = 2.3e-5
// for a ViT-B. The default leaves a factor of 40 for what the norms and residuals between amplify. An error
// vector of 1e-3 of the greatest element, as large in every element and at right angles, would leave a cosine
// above 1 - 1e-5 wherever the root mean square of the output is at least a quarter of its greatest element.
struct Tolerance {
  double max_scaled = 1e-3;
  double min_cosine = 0.99999;
  double min_top1 = 0;  // least top-1 agreement, where it is defined
};

struct OutputError : TensorError {
  std::optional<double> top1_agreement;  // for outputs [N, C] with C >= 2
  std::optional<double> top5_agreement;  // with C >= 5
  bool passed = true;
};

// The error of one value inside the network, with fusion intact.
struct StageError : TensorError {
  std::string stage;  // "patch_embed", "block.3", "head"; TensorError::name is the value's
};

// The engine's outputs at another batch size against those of the same samples at the first.
struct BatchInvariance {
  int64_t batch = 0;
  int64_t base_batch = 0;
  bool bit_identical = true;
  double max_abs = 0;
  double max_scaled = 0;
};

struct VerifyReport {
  std::vector<OutputError> outputs;
  std::vector<StageError> stages;
  std::vector<BatchInvariance> batch_invariant;
  bool passed = false;
  std::vector<std::string> failures;  // why not, one a line
  Tolerance tolerance;
  int64_t samples = 0;
  std::string dataset;       // where the samples came from, in words
  std::string dataset_hash;  // XXH3-128 over names, types, shapes and bytes of all samples, hex
  std::string reference;
  std::string subject;
  std::string model, engine_hash;
  std::string precision, backend, isa;
  std::string timestamp;
  std::string quantization_json;  // how the model was quantized; empty when it was not
};

// Fills in `passed` of the report and of each output, and `failures`.
void judge(VerifyReport& report);

// The schema of docs/report-schema.md, kind "verify"; also the certificate. Figures that are not finite are
// null.
nlohmann::ordered_json to_json(const VerifyReport& report);
std::string to_json_text(
    const VerifyReport& report);  // ends in a newline; bytes that are not UTF-8 are replaced

// For the terminal.
std::string to_table(const VerifyReport& report);

}  // namespace vitrail
