// SPDX-License-Identifier: Apache-2.0
#include "quant/products.h"

#include <algorithm>

#include "graph/cost.h"
#include "passes/match.h"

namespace vitrail::quant {
namespace {

bool is_f32_constant(const Graph& graph, ValueId id, size_t rank) {
  return graph.is_constant(id) && graph.constant(id).dtype() == DType::kF32 && graph.constant(id).rank() == rank;
}

// Why a node that multiplies cannot be quantized; empty when it can.
std::string refuse(const Graph& graph, const Node& node) {
  const ValueId x = node.input(0), w = node.input(1);
  if (graph.is_constant(x) || graph.value(x).dtype != DType::kF32) return "its left side is no float32 activation";
  if (!graph.is_constant(w)) return "both sides are activations";
  if (node.op == Op::Conv) {
    if (!is_f32_constant(graph, w, 4)) return "its weight is not float32 [M,C,H,W]";
    const Tensor& weight = graph.constant(w);
    const std::vector<int64_t> kernel{weight.dim(2), weight.dim(3)};
    const auto pads = node.integers("pads");
    const auto dilations = node.integers("dilations");
    const auto is = [](int64_t value) { return [value](int64_t v) { return v == value; }; };
    const std::string padding = node.text("auto_pad", "NOTSET");
    if (node.integer("group", 1) != 1 || (padding != "NOTSET" && padding != "VALID") || node.integers("strides") != kernel ||
        !std::all_of(pads.begin(), pads.end(), is(0)) || !std::all_of(dilations.begin(), dilations.end(), is(1)))
      return "a convolution whose windows overlap";
    return "";
  }
  if (!is_f32_constant(graph, w, 2)) return "its weight is no float32 matrix";
  if (node.op == Op::Gemm && node.integer("transA", 0) != 0) return "its left side is transposed";
  return "";
}

int64_t multiply_adds(const Graph& graph, const Node& node) {
  return static_cast<int64_t>(flops(graph, node, 1) / 2);
}

// Where the constant row that is added to the product's output lies.
std::optional<size_t> find_bias(const Graph& graph, const UseMap& uses, size_t index, int64_t width) {
  const Node& node = graph.nodes[index];
  if (node.op != Op::MatMul) {
    const ValueId bias = node.input(2);
    if (bias == kNoValue || node.real("alpha", 1) != 1 || node.real("beta", 1) != 1) return std::nullopt;
    return is_row_constant(graph, bias, width) ? std::optional(index) : std::nullopt;
  }
  if (!uses.has_one_use(node.outputs[0])) return std::nullopt;
  const auto reader = static_cast<size_t>(uses.consumers(node.outputs[0])[0]);
  const Node& add = graph.nodes[reader];
  if (add.op != Op::Add) return std::nullopt;
  for (ValueId id : add.inputs)
    if (is_row_constant(graph, id, width)) return reader;
  return std::nullopt;
}

}  // namespace

ProductList find_products(const Graph& graph) {
  ProductList list;
  const UseMap uses(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (node.op != Op::MatMul && node.op != Op::Gemm && node.op != Op::Conv) continue;
    if (std::string reason = refuse(graph, node); !reason.empty()) {
      list.unquantized.push_back(
          {node.name, std::string(op_name(node.op)), std::move(reason), multiply_adds(graph, node)});
      continue;
    }
    Product p;
    p.node = i;
    p.name = node.name;
    p.input = node.input(0);
    p.weight = node.input(1);
    const Tensor& weight = graph.constant(p.weight);
    p.width_first = node.op == Op::Conv || (node.op == Op::Gemm && node.integer("transB", 0) != 0);
    p.width = weight.dim(p.width_first ? 0 : 1);
    p.depth = p.width > 0 ? weight.count() / p.width : 0;
    if (p.depth == 0) continue;
    p.bias_node = find_bias(graph, uses, i, p.width);
    p.multiply_adds = multiply_adds(graph, node);
    list.products.push_back(std::move(p));
  }
  return list;
}

std::vector<float> weight_matrix(const Graph& graph, const Product& product) {
  const auto from = graph.constant(product.weight).as<float>();
  std::vector<float> matrix(from.begin(), from.end());
  if (!product.width_first) return matrix;
  const auto k = static_cast<size_t>(product.depth), n = static_cast<size_t>(product.width);
  for (size_t r = 0; r < n; ++r)
    for (size_t c = 0; c < k; ++c) matrix[c * n + r] = from[r * k + c];
  return matrix;
}

}  // namespace vitrail::quant
