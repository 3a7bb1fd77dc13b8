// SPDX-License-Identifier: Apache-2.0
// The graph segment of a .vtl file. Tensors stand outside the JSON, in segments that it names by number.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/files.h"
#include "graph/graph.h"

namespace vitrail {

// The JSON of a graph; every constant and tensor attribute is appended to `tensors` and named by its segment
// (kFirstTensorSegment + its index). Fails on a graph that load_engine() would refuse.
Result<std::string> graph_to_json(const Graph& graph, std::vector<Tensor>* tensors);

// The inverse. Tensors point into `segments` (all of the file's) and keep `owner` alive. Checks each field,
// and that types and extents give the size of each segment; the caller runs verify_graph().
Result<Graph> graph_from_json(std::string_view text, std::span<const ByteSpan> segments,
                              const std::shared_ptr<const void>& owner);

}  // namespace vitrail
