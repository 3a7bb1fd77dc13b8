// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "backends/tensorrt/module/plugin_layers.h"
#include "runtime/backend.h"

namespace vitrail::tensorrt {

// What --plugins means for this graph. kUnavailable where the kernels are not there. `auto` builds and times one
// attention and one LayerNorm of the graph both ways, at the batch size that the first profile is tuned for: it needs
// a GPU.
Result<PluginUse> choose_plugins(const Graph& graph, const CompileOptions& options, const PlanOptions& plan);

}  // namespace vitrail::tensorrt
