// SPDX-License-Identifier: Apache-2.0
// What the engine's layers are and which of Vitrail's layers each came from, read back from TensorRT's
// inspector.
#pragma once

#include <string>
#include <vector>

#include "backends/tensorrt/module/compat.h"
#include "backends/tensorrt/module/plugin_layers.h"
#include "engine/engine.h"
#include "graph/graph.h"

namespace vitrail::tensorrt {

struct EngineLayer {
  std::string name;
  std::string kernel;  // the tactic where it has a name, else the kind of layer
  std::string reads,
      writes;  // types of its first input and output, as Vitrail names them; empty when it is not told
  std::string origin;  // the layers of the network that went into it, each as origin_mark() wrote it
};

std::string origin_mark(const std::string& name);  // what a layer of the network is told to remember

// In the order in which they run, of the first profile: from the inspector's JSON, and from what the builder
// writes into its log, which says the same where there is no GPU to load the engine on. Empty for a text of
// no known form.
std::vector<EngineLayer> parse_layers(const std::string& json);
std::vector<EngineLayer> parse_log(const std::string& text);

struct Inspected {
  std::vector<LayerReport> reports;      // of the graph's nodes, in their order
  std::vector<std::string> layer_names;  // of the engine's layers
  std::vector<int64_t>
      layer_reports;  // the report that the engine's layer of the same index counts for; -1: none
};

// What a kernel multiplies in, as its name says ("sm90_xmma_gemm_f16f16_f16f32_f32_…" is "float16", one of FFMA
// instructions "float32" whatever it reads); empty for a name that does not.
std::string precision_in_name(const std::string& kernel);

// `graph` as it was handed over. A node in several of the engine's layers takes the one that multiplies, then the one
// that is most its own. A product's precision is that of its kernel's name, else of what it reads, else the network's.
Inspected make_reports(const Graph& graph, const std::vector<EngineLayer>& layers, const Precision& precision,
                       PluginUse plugins);

// The engine's description as JSON; empty where there is none.
std::string describe(const nv::ICudaEngine& engine);

}  // namespace vitrail::tensorrt
