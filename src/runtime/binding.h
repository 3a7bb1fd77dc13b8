// SPDX-License-Identifier: Apache-2.0
// Checks of what a caller hands to a session. Nothing is allocated unless a check fails.
#pragma once

#include <span>
#include <string_view>

#include "graph/graph.h"

namespace vitrail {

struct NamedView {
  std::string_view name;
  TensorView tensor;
};
struct NamedMutableView {
  std::string_view name;
  MutableTensorView tensor;
};

// Whether any input's shape depends on the batch size.
bool depends_on_batch(const Graph& graph);

// Every input of the graph must be there once, with its type and shape. Returns the batch size N that the
// shapes have in common; 1 for a graph whose inputs do not depend on it. kBadInput names the tensor, what was
// expected and what came.
Result<int64_t> match_inputs(const Graph& graph, std::span<const NamedView> inputs);

// Every output of the graph must be there once, with its type and its shape at this batch size.
Status match_outputs(const Graph& graph, std::span<const NamedMutableView> outputs, int64_t batch);

// kBadInput naming the first input that holds NaN or infinity, how many and where.
Status check_finite(std::span<const NamedView> inputs);

}  // namespace vitrail
