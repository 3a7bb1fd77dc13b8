// SPDX-License-Identifier: Apache-2.0
#include "passes/quantized_weight.h"

#include <algorithm>

namespace vitrail {
namespace {

template <class T>
bool all_are(const Tensor& tensor, T value) {
  const auto numbers = tensor.as<T>();
  return std::all_of(numbers.begin(), numbers.end(), [&](T v) { return v == value; });
}

// Whether the numbers lie around the middle of their type, so that they are int8 around 0.
bool is_symmetric(const Graph& graph, const Node& node) {
  const bool is_signed = graph.constant(node.input(0)).dtype() == DType::kI8;
  const ValueId zero = node.input(2);
  if (zero == kNoValue) return is_signed;
  if (!graph.is_constant(zero) || graph.constant(zero).dtype() != graph.constant(node.input(0)).dtype())
    return false;
  return is_signed ? all_are<int8_t>(graph.constant(zero), 0) : all_are<uint8_t>(graph.constant(zero), 128);
}

Tensor around_zero(const Tensor& matrix) {
  if (matrix.dtype() == DType::kI8) return matrix;
  Tensor out(DType::kI8, matrix.shape());
  std::ranges::transform(matrix.as<uint8_t>(), out.as_mutable<int8_t>().begin(),
                         [](uint8_t v) { return static_cast<int8_t>(v - 128); });
  return out;
}

bool has_weights(const Graph& graph, const Node& node) {
  if (node.op != Op::DequantizeLinear || !graph.is_constant(node.input(0)) ||
      !graph.is_constant(node.input(1)))
    return false;
  const Tensor &matrix = graph.constant(node.input(0)), &scale = graph.constant(node.input(1));
  if (matrix.rank() != 2 || (matrix.dtype() != DType::kI8 && matrix.dtype() != DType::kU8) ||
      scale.dtype() != DType::kF32 || node.integer("block_size", 0) != 0)
    return false;
  const int64_t axis = node.integer("axis", 1);
  const bool per_axis = scale.rank() == 1 && axis >= -2 && axis < 2 &&
                        scale.count() == matrix.dim(static_cast<size_t>(axis < 0 ? axis + 2 : axis));
  return (scale.count() == 1 || per_axis) && is_symmetric(graph, node);
}

bool is_integer_product(const Graph& graph, const UseMap& uses, const Node& node, ValueId weight) {
  if ((node.op != Op::MatMul && node.op != Op::Gemm) || node.input(1) != weight || node.input(0) == weight ||
      node.input(2) == weight)
    return false;
  const int maker = uses.producer(node.input(0));
  if (maker < 0) return false;
  const Node& left = graph.nodes[static_cast<size_t>(maker)];
  return left.op == Op::DequantizeLinear && !graph.is_constant(left.input(0));
}

bool only_in_products(const Graph& graph, const UseMap& uses, ValueId weight, bool transposed) {
  if (uses.is_output(weight) || uses.consumers(weight).empty()) return false;
  return std::ranges::all_of(uses.consumers(weight), [&](int n) {
    const Node& node = graph.nodes[static_cast<size_t>(n)];
    if (!transposed && swaps_axes(node)) return only_in_products(graph, uses, node.outputs[0], true);
    return is_integer_product(graph, uses, node, weight);
  });
}

}  // namespace

bool swaps_axes(const Node& node) {
  const auto perm = node.integers("perm");
  return node.op == Op::Transpose && (perm.empty() || perm == std::vector<int64_t>{1, 0});
}

std::optional<QuantizedWeight> quantized_weight(const Graph& graph, const Node& node) {
  if (!has_weights(graph, node)) return std::nullopt;
  const Tensor& scale = graph.constant(node.input(1));
  QuantizedWeight weight;
  weight.numbers = around_zero(graph.constant(node.input(0)));
  weight.scale = scale.reshaped({scale.count()});
  weight.axis = node.integer("axis", 1) % 2 == 0 ? 0 : 1;
  return weight;
}

Tensor dequantized(const QuantizedWeight& weight) {
  Tensor out(DType::kF32, weight.numbers.shape());
  const auto numbers = weight.numbers.as<int8_t>();
  const auto scale = weight.scale.as<float>();
  const auto columns = static_cast<size_t>(weight.numbers.dim(1));
  auto values = out.as_mutable<float>();
  for (size_t i = 0; i < numbers.size(); ++i) {
    const size_t at = scale.size() == 1 ? 0 : weight.axis == 0 ? i / columns : i % columns;
    values[i] = static_cast<float>(numbers[i]) * scale[at];
  }
  return out;
}

bool keeps_integers(const Graph& graph, const UseMap& uses, const Node& node) {
  return has_weights(graph, node) && only_in_products(graph, uses, node.outputs[0], false);
}

}  // namespace vitrail
