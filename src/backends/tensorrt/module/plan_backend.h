// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/backend.h"

namespace vitrail::tensorrt {

// Compiling turns the whole graph into one Plan node whose first input is TensorRT's plan.
class PlanBackend : public Backend {
 public:
  std::string_view name() const override { return "tensorrt"; }
  Status available() const override;
  Result<std::vector<LayerReport>> compile(Graph& graph, const CompileOptions& options) const override;
  Result<std::shared_ptr<const Program>> load(std::shared_ptr<const Graph> graph,
                                              const LoadOptions& options) const override;
  // Where there is a GPU, a plan that holds its weights gets the new ones inside; else they go into the engine file, and
  // into the plan whenever it is loaded.
  Result<std::vector<LayerReport>> refit(const Engine& engine, Graph& graph,
                                         const CompileOptions& options) const override;
};

// Keys of the graph's metadata and the Plan node's attributes.
inline constexpr const char* kLibraryKey = "tensorrt.library";  // "TensorRT 8.5.3"
inline constexpr const char* kDeviceKey = "tensorrt.device";    // of the build; absent where there was none
inline constexpr const char* kContextBytes = "context_bytes";   // by profile
inline constexpr const char* kProfiles = "profiles";       // min, opt, max of each; empty: no dynamic input
inline constexpr const char* kLayerNames = "layer_names";  // of the engine
inline constexpr const char* kLayerReports = "layer_reports";  // which report each of them counts for
inline constexpr const char* kWeightNames = "weight_names";    // that the plan takes; absent: none
inline constexpr const char* kWeightHashes = "weight_hashes";  // of those in the plan, in the same order
inline constexpr const char* kPluginUse = "plugins";  // whether attention, LayerNorm are ours; absent: neither
inline constexpr const char* kStripped = "stripped";           // 1: the plan holds no weights

}  // namespace vitrail::tensorrt
