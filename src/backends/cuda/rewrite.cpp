// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/compile.h"
#include "core/error.h"
#include "graph/edit.h"

namespace vitrail::cuda {
namespace {

Status check_shapes(const Graph& graph) {
  for (const Node& node : graph.nodes)
    for (ValueId id : node.outputs)
      if (id != kNoValue && !graph.value(id).shape)
        return unavailable(
            "layer '{}' ({}): the shape of '{}' depends on the data, which the cuda backend cannot plan; "
            "build with "
            "--backend reference",
            node.name, op_name(node.op), graph.value(id).name);
  return {};
}

}  // namespace

Result<std::vector<LayerReport>> rewrite(Graph& graph, const Target& target, const CompileOptions& options) {
  VTL_TRY(check_shapes(graph));
  lower_activations(graph);
  choose_kernels(graph, target);
  fold_norms(graph, target);
  assign_types(graph, target);
  VTL_TRY(quantize(graph, target, options));
  pack_weights(graph, target);
  remove_dead_nodes(graph);
  auto reports = make_reports(graph);
  compact(graph);
  VTL_TRY(verify_graph(graph));
  return reports;
}

}  // namespace vitrail::cuda
