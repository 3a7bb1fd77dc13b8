// SPDX-License-Identifier: Apache-2.0
#include "graph/cost.h"

#include <set>

namespace vitrail {
namespace {

double count(const Graph& graph, ValueId id, int64_t batch) {
  if (id == kNoValue || !graph.value(id).shape) return 0;
  double n = 1;
  for (Dim d : *graph.value(id).shape) n *= static_cast<double>(d.at(batch));
  return n;
}

double extent(const Graph& graph, ValueId id, size_t from_end, int64_t batch) {
  const auto& shape = graph.value(id).shape;
  if (!shape || shape->size() <= from_end) return 0;
  return static_cast<double>((*shape)[shape->size() - 1 - from_end].at(batch));
}

// Weights behind one index of axis 0: what one output element of Conv, one input element of ConvTranspose,
// meets.
double kernel_macs(const Graph& graph, const Node& node, int64_t batch) {
  const double weights = count(graph, node.input(1), batch);
  const auto& shape = graph.value(node.input(1)).shape;
  return shape && !shape->empty() ? weights / static_cast<double>((*shape)[0].at(batch)) : 0;
}

// The input that may hold integer weights.
ValueId quantized_weight(const Node& node) {
  return node.op == Op::DequantizeLinear  ? node.input(0)
         : node.op == Op::QuantizedLinear ? node.input(1)
                                          : kNoValue;
}

}  // namespace

double flops(const Graph& graph, const Node& node, int64_t batch) {
  const double out = node.outputs.empty() ? 0 : count(graph, node.outputs[0], batch);
  switch (node.op) {
    case Op::Linear:
    case Op::QuantizedLinear:
      return 2 * count(graph, node.input(0), batch) * extent(graph, node.outputs[0], 0, batch);
    case Op::Gemm:
    case Op::MatMul:
      return 2 * out * extent(graph, node.input(0), node.integer("transA", 0) ? 1 : 0, batch);
    case Op::MultiHeadAttention: {
      const auto heads = static_cast<double>(node.integer("heads", 1));
      const auto d = static_cast<double>(node.integer("head_dim", 0));
      const auto dv = static_cast<double>(node.integer("v_head_dim", node.integer("head_dim", 0)));
      return 2 * extent(graph, node.outputs[0], 2, batch) * heads * extent(graph, node.outputs[0], 1, batch) *
             extent(graph, node.input(1), 1, batch) * (d + dv);
    }
    case Op::Conv:
      return 2 * out * kernel_macs(graph, node, batch);
    // Every input element meets every weight of its channel.
    case Op::ConvTranspose:
      return 2 * count(graph, node.input(0), batch) * kernel_macs(graph, node, batch);
    case Op::PatchEmbed:
      return 2 * count(graph, node.input(0), batch) * static_cast<double>(node.integer("out_channels", 0));
    case Op::Plan:  // counted layer by layer when it was made
    case Op::Range:
      return 0;
    default:
      return has_trait(node.op, kMovement) ? 0 : out;
  }
}

int64_t activation_bytes(const Graph& graph, const Node& node, int64_t batch) {
  double bytes = 0;
  for (ValueId id : node.outputs)
    if (id != kNoValue)
      bytes += count(graph, id, batch) * static_cast<double>(dtype_size(graph.value(id).dtype));
  return static_cast<int64_t>(bytes);
}

double traffic_bytes(const Graph& graph, const Node& node, int64_t batch) {
  if (node.op == Op::Plan) return 0;
  double bytes = static_cast<double>(activation_bytes(graph, node, batch));
  for (ValueId id : node.inputs)
    if (id != kNoValue)
      bytes += count(graph, id, batch) * static_cast<double>(dtype_size(graph.value(id).dtype));
  return bytes;
}

int64_t parameter_count(const Graph& graph) {
  std::set<ValueId> seen;
  int64_t n = 0;
  for (const Node& node : graph.nodes) {
    const ValueId quantized = quantized_weight(node);
    for (ValueId id : node.inputs) {
      if (!graph.is_constant(id) || !seen.insert(id).second) continue;
      const DType t = graph.value(id).dtype;
      if (id == quantized || t == DType::kF32 || t == DType::kF64 || t == DType::kF16 || t == DType::kBF16)
        n += graph.constant(id).count();
    }
  }
  return n;
}

}  // namespace vitrail
