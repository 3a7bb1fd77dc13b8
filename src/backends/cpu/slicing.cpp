// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/slicing.h"

#include <algorithm>

#include "backends/cpu/step.h"
#include "graph/batch_rows.h"
#include "graph/cost.h"

namespace vitrail::cpu {
namespace {

// The largest activation of a slice: about what one core's L2 and its share of L3 hold beside the weights in
// use.
constexpr int64_t kSliceBytes = 2 << 20;

}  // namespace

int64_t images_per_slice(const Graph& graph) {
  int64_t largest = 1;
  for (const Node& node : graph.nodes)
    if (node.text("kernel", "") == kReferenceKernel) return INT64_MAX;
  if (!rows_are_independent(graph)) return INT64_MAX;
  for (const Node& node : graph.nodes) largest = std::max(largest, activation_bytes(graph, node, 1));
  return std::max<int64_t>(1, kSliceBytes / largest);
}

}  // namespace vitrail::cpu
