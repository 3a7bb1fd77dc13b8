// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/backend.h"

namespace vitrail {

// Runs a graph once on the reference kernels, with no plan and no cap, and returns all its outputs by name.
// Inputs are checked against the graph: kBadInput for a wrong name, type or shape. The observer may be null.
Result<std::map<std::string, Tensor>> run_graph(const Graph& graph, const std::vector<NamedTensor>& inputs,
                                                Observer* observer = nullptr, int threads = 1);

}  // namespace vitrail
