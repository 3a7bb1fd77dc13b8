// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "vitrail/vitrail.h"

namespace vitrail {

struct InferOptions {
  std::string engine;
  std::vector<std::string> images;                           // files and folders
  std::vector<std::pair<std::string, std::string>> inputs;   // name, .npy or .npz
  std::vector<std::pair<std::string, std::string>> outputs;  // name, .npy, .npz or .png
  int top = 5;
  std::string isa;
  int threads = 1;
};

struct OutputSummary {
  std::string name;
  DType dtype = DType::kUndefined;
  Shape shape;
  double min = 0, max = 0, mean = 0;
};
struct RowResult {
  std::string source;               // the image file; empty for arrays
  std::vector<Classification> top;  // for scores [N, classes], softmax over the first output
  std::vector<OutputSummary> outputs;
};
struct InferOutcome {
  std::vector<RowResult> rows;  // one an image, or one for the arrays
  std::vector<std::string> written;
};

// Runs images in batches that the engine's profiles allow, or one set of arrays, and writes the outputs asked
// for: arrays of all rows, maps [N,1,H,W] as one 8-bit PNG a row (0 → black, 1 → white; others scaled to
// their range).
Result<InferOutcome> infer(const InferOptions& options);

}  // namespace vitrail
