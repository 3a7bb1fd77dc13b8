// SPDX-License-Identifier: Apache-2.0
// Weights that a plan takes from outside: of a stripped plan, and of one that was refitted without a GPU.
#pragma once

#include <string>
#include <vector>

#include "backends/tensorrt/module/library.h"
#include "backends/tensorrt/module/logger.h"
#include "graph/graph.h"

namespace vitrail::tensorrt {

struct PlanWeights {
  std::vector<std::string> names;
  std::vector<std::string> hashes;  // of what the plan was built with, by name; empty: not known
  std::vector<Tensor> tensors;      // to put in when it is loaded, by name; empty: it has them
  bool stripped = false;
};

// Of the Plan node of a compiled graph, of which nothing is trusted.
Result<PlanWeights> read_weights(const Graph& compiled);

// Names and hashes into the node's attributes; the tensors behind its inputs.
void describe_weights(const std::vector<NamedTensor>& weights, Node& node);
void attach_weights(std::vector<NamedTensor> weights, Graph& graph, Node& node);

// Gives weights of the same network their names in the plan. kBadInput where one has another shape or type.
Status use_plan_names(const PlanWeights& known, std::vector<NamedTensor>& weights);

// Through nvinfer1::IRefitter. A weight that TensorRT does not take must be what the plan was built with.
Status put_weights(const Library& library, nv::ICudaEngine& engine, const PlanWeights& weights, Logger& logger);

// The plan with the weights inside. Needs a GPU.
Result<std::vector<std::byte>> bake_weights(const Library& library, const Graph& compiled, PlanWeights known,
                                            const std::vector<NamedTensor>& weights);

}  // namespace vitrail::tensorrt
