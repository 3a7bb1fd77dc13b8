// SPDX-License-Identifier: Apache-2.0
#include "passes/cleanup.h"

#include "graph/edit.h"

namespace vitrail {

Status cleanup(Graph& graph) {
  resolve_shape_operands(graph);
  remove_dead_nodes(graph);
  while (remove_no_ops(graph) + merge_movement(graph) > 0) {
  }
  remove_uniform_operands(graph);
  simplify_batch_operands(graph);
  remove_dead_nodes(graph);
  compact(graph);
  return verify_graph(graph);
}

}  // namespace vitrail
