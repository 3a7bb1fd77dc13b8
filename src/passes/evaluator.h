// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "graph/graph.h"

namespace vitrail {

// Computes the outputs of one node from its inputs (a null pointer for one that is absent). The passes stand left of
// the backends, so whoever runs them hands in the reference backend's evaluate_node().
using Evaluator = std::function<Result<std::vector<Tensor>>(const Node&, std::span<const Tensor* const>)>;

}  // namespace vitrail
