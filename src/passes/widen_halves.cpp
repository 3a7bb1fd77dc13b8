// SPDX-License-Identifier: Apache-2.0
#include "passes/widen_halves.h"

#include <algorithm>

#include "core/widen.h"

namespace vitrail {
namespace {

// The numbers that ONNX has for the two types.
bool names_half(int64_t data_type) { return data_type == 10 || data_type == 16; }

bool quantizes(const Node& node) { return node.op == Op::QuantizeLinear || node.op == Op::DequantizeLinear; }

}  // namespace

DType widen_halves(Graph& graph) {
  DType found = DType::kUndefined;
  for (const Value& v : graph.values)
    if (v.constant && is_half(v.dtype) && v.constant->rank() > 0) found = v.dtype;
  if (found == DType::kUndefined || std::ranges::any_of(graph.nodes, quantizes)) return DType::kUndefined;
  for (Value& v : graph.values) {
    if (!is_half(v.dtype)) continue;
    v.dtype = DType::kF32;
    if (v.constant) v.constant = widened(*v.constant);
  }
  for (Node& node : graph.nodes) {
    if (node.op == Op::Cast && names_half(node.integer("to", 0))) node.attributes["to"] = int64_t{1};
    for (auto& [name, attribute] : node.attributes)
      if (auto* tensor = std::get_if<Tensor>(&attribute); tensor && is_half(tensor->dtype())) *tensor = widened(*tensor);
  }
  return found;
}

}  // namespace vitrail
