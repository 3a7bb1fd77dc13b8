// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "runtime/backend.h"

namespace vitrail {
class ThreadPool;
}

namespace vitrail::reference {

// For each value, the last node that reads it: its maker's index when no node does, -1 for unread inputs.
std::vector<int> last_readers(const Graph& graph);

// Takes each graph output as soon as it is known, by its index in graph.outputs.
using OutputSink = std::function<Status(size_t output, const Tensor& content)>;

// Runs all nodes in order and frees each value after its last reader. `inputs` are in the order of the
// graph's. Stops with kCancelled between two nodes when the user has interrupted.
Status execute(const Graph& graph, const std::vector<int>& last_reader, const std::vector<Tensor>& inputs,
               const OutputSink& sink, Observer* observer, ThreadPool* pool);

}  // namespace vitrail::reference
