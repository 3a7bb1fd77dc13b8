// SPDX-License-Identifier: Apache-2.0
#include "workflow/inspect.h"

#include <set>

#include "api/backends.h"
#include "core/error.h"
#include "graph/cost.h"

namespace vitrail {
namespace {

std::vector<TensorDescription> describe(const Graph& graph, const std::vector<ValueId>& ids) {
  std::vector<TensorDescription> list;
  for (ValueId id : ids) {
    const Value& v = graph.value(id);
    list.push_back({v.name, std::string(dtype_name(v.dtype)), v.shape ? to_string(*v.shape) : "[?]"});
  }
  return list;
}

// In the order in which the stages first appear.
std::vector<StageCost> stage_costs(const Graph& graph) {
  std::vector<StageCost> costs;
  std::set<ValueId> counted;
  for (const Node& node : graph.nodes) {
    auto it =
        std::find_if(costs.begin(), costs.end(), [&](const StageCost& c) { return c.stage == node.stage; });
    if (it == costs.end()) it = costs.insert(costs.end(), StageCost{node.stage, 0, 0, 0, 0});
    ++it->layers;
    it->flops += flops(graph, node, 1);
    it->activation_bytes += activation_bytes(graph, node, 1);
    for (ValueId id : node.inputs)
      if (graph.is_constant(id) && graph.value(id).dtype == DType::kF32 && counted.insert(id).second)
        it->parameters += graph.constant(id).count();
  }
  return costs;
}

std::string scheme(const QuantizationReport& report, int quantized_operators) {
  if (report.products.empty()) return "none";
  if (quantized_operators > 0) return "QOperator";
  return report.has_float8 ? "Q/DQ in float8" : "Q/DQ";
}

}  // namespace

Result<Inspection> inspect_model(const std::string& path, const std::string& backend_name,
                                 const ModelOptions& options) {
  const BackendRegistry backends = make_backends();
  VTL_ASSIGN(const Backend* backend, backends.find(backend_name));
  VTL_ASSIGN(ImportedModel model, import_model(path, options));
  Graph& graph = model.graph;
  Inspection i;
  i.model = model.file_name;
  i.hash = model.hash;
  i.backend = backend_name;
  i.opset = graph.opset;
  i.inputs = describe(graph, graph.inputs);
  i.outputs = describe(graph, graph.outputs);
  i.parameters = model.parameters;
  i.warnings = std::move(model.warnings);
  for (const Node& node : graph.nodes) ++i.operators[std::string(op_name(node.op))];
  i.quantization = std::move(model.quantization);
  find_integer_products(graph, i.quantization);
  i.quantization_scheme = scheme(i.quantization, model.quantized_operators);
  VTL_ASSIGN(i.structure, fuse(graph, &i.passes));
  i.unfused = find_unfused(graph);
  i.stages = stage_costs(graph);
  for (const StageCost& c : i.stages) i.flops += c.flops;
  VTL_ASSIGN(i.layers, backend->compile(graph, {}));
  return i;
}

}  // namespace vitrail
