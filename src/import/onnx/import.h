// SPDX-License-Identifier: Apache-2.0
// ONNX files to graphs: opsets 11 to 23 of the default domain (https://onnx.ai/onnx/operators/).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "graph/evaluator.h"
#include "vitrail/status.h"

namespace vitrail {

struct ImportOptions {
  // Size in pixels where the model leaves height and width (dimensions 2 and 3 of an input of rank 4) open; 0
  // = 224.
  int64_t height = 0;
  int64_t width = 0;
  // Sizes of named dimensions (`--dim NAME=VALUE`); they go before every other rule, the batch's included.
  std::map<std::string, int64_t> dims;
  // Computes what the condition of an If or a shape follows from where that is more than shape arithmetic. Without one such a
  // model is an error.
  Evaluator evaluate{};
};

struct ImportReport {
  std::vector<std::string> warnings;
  int64_t nonfinite_weights = 0;  // NaN and infinite elements of the initializers
  int quantized_operators = 0;    // layers restated by import/onnx/quantized_operators.h
};

// Reads a model. Weights are not copied: constants point into the parsed message or into the memory-mapped
// external data and keep them alive. Every operator comes out in its newest form whatever the model's opset:
// axes (Reduce*, Squeeze, Unsqueeze) and split are inputs, Softmax works on one axis, Dropout has one input,
// Split without sizes has num_outputs, inputs that are empty tensors where ONNX allows none (Resize) are
// absent, quantized operators (QLinearMatMul, …) are floats between DequantizeLinear and QuantizeLinear. Constant nodes are constants, model-local functions are inlined, layers are sorted and their names
// unique. Only graph inputs and constants have dtype and shape; see infer_shapes(). kBadInput or kIo with the
// file's name otherwise; kUsage for bad options.
Result<Graph> import_onnx(const std::string& path, const ImportOptions& options = {},
                          ImportReport* report = nullptr);

}  // namespace vitrail
