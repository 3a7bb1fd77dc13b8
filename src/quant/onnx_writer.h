// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "graph/graph.h"

namespace vitrail {

// Writes a graph of ONNX's own operators (simplified, not fused) as an ONNX model, atomically: opset 18, or newer
// where an operator demands it, with the graph's metadata. Axes that depend on the batch are named "batch" when
// they are the batch and left open else. Weights beyond 1 GiB go to `path` + ".data" (protobuf's limit is 2 GiB).
// kUsage when a node is one of Vitrail's own.
Status write_onnx(const Graph& graph, const std::string& path);

}  // namespace vitrail
