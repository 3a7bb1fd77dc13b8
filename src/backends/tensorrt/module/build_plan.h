// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "backends/tensorrt/module/library.h"
#include "backends/tensorrt/module/network.h"
#include "runtime/backend.h"

namespace vitrail::tensorrt {

struct BuiltPlan {
  std::vector<std::byte> bytes;
  std::vector<NamedTensor> weights;  // that a refit may exchange; empty for a plan that takes none
  std::string layers;                // the builder's list of the engine's layers (inspect.h)
  bool dynamic = false;              // some input's extent depends on the batch, so there are profiles
};

// Hands the graph to TensorRT and builds. Errors name Vitrail's layer. The timing cache is read first, and
// written back where it grew; kBadInput when it is none of this TensorRT's.
Result<BuiltPlan> build_plan(const Library& library, const Graph& graph, const CompileOptions& options,
                             const PlanOptions& plan, PluginUse plugins);

// The graph's weights as a plan of it takes them: names, order and types are those of build_plan(). Builds nothing,
// but TensorRT may want a GPU for it.
Result<std::vector<NamedTensor>> plan_weights(const Library& library, const Graph& graph,
                                              const CompileOptions& options, PluginUse plugins = {});

// A plan that was made elsewhere of a model with the graph's inputs and outputs. kBadInput for a file that is
// none; what the plan's own inputs are is only known where it can be loaded.
Result<BuiltPlan> read_plan_file(const Graph& graph, const std::string& path);

}  // namespace vitrail::tensorrt
