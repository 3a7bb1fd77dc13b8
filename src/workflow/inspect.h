// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "passes/unfused.h"
#include "workflow/build.h"

namespace vitrail {

struct TensorDescription {
  std::string name, dtype, shape;  // "[N,3,224,224]"
};
// Of one stage of the fused graph, for one image.
struct StageCost {
  std::string stage;
  int64_t layers = 0;
  int64_t parameters = 0;
  double flops = 0;
  int64_t activation_bytes = 0;
};
struct Inspection {
  std::string model, hash, backend;
  int64_t opset = 0;
  std::vector<TensorDescription> inputs, outputs;
  std::map<std::string, int> operators;  // of the model after folding
  int64_t parameters = 0;
  double flops = 0;  // for one image
  std::vector<StageCost> stages;
  ModelStructure structure;
  std::vector<PassReport> passes;
  std::vector<Unfused> unfused;
  std::vector<LayerReport> layers;  // on `backend`
  std::string quantization_scheme;  // "none", "Q/DQ", "Q/DQ in float8", "QOperator"
  QuantizationReport quantization;
  std::vector<std::string> warnings;
};

Result<Inspection> inspect_model(const std::string& path, const std::string& backend,
                                 const ModelOptions& options);

}  // namespace vitrail
