// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "backends/cuda/compile.h"
#include "backends/cuda/kernel_list.h"
#include "core/half.h"
#include "graph/edit.h"
#include "graph/linear_inputs.h"

namespace vitrail::cuda {
namespace {

void store(Tensor& to, size_t at, float value, Type type) {
  switch (type) {
    case Type::kF32:
      to.as_mutable<float>()[at] = value;
      break;
    case Type::kF16:
      to.as_mutable<uint16_t>()[at] = float_to_half(value);
      break;
    case Type::kBF16:
      to.as_mutable<uint16_t>()[at] = float_to_bfloat16(value);
      break;
    default:
      to.as_mutable<uint8_t>()[at] = to_e4m3(value);
  }
}

// A [K, N] weight (or, with `rows_are_outputs`, [N, K]) as [N, k_padded] of the type; `scales` are set for
// E4M3.
Tensor packed(const Tensor& weight, bool rows_are_outputs, int64_t k_padded, Type type,
              std::vector<float>& scales) {
  const int64_t n = rows_are_outputs ? weight.dim(0) : weight.dim(1),
                k = weight.count() / std::max<int64_t>(n, 1);
  const auto w = weight.as<float>();
  const auto at = [&](int64_t i, int64_t j) {
    return w[static_cast<size_t>(rows_are_outputs ? j * k + i : i * n + j)];
  };
  Tensor out(dtype_of(type), {n, k_padded});
  for (int64_t j = 0; j < n; ++j) {
    float factor = 1;
    if (type == Type::kE4M3) {
      float most = 0;
      for (int64_t i = 0; i < k; ++i) most = std::max(most, std::fabs(at(i, j)));
      scales.push_back(most > 0 ? most / 448.0f : 1.0f);
      factor = 1 / scales.back();
    }
    for (int64_t i = 0; i < k; ++i)
      store(out, static_cast<size_t>(j * k_padded + i), at(i, j) * factor, type);
  }
  return out;
}

ValueId float_constant(Graph& graph, ValueId id) {
  if (id == kNoValue || graph.value(id).dtype == DType::kF32) return id;
  return add_weight(graph, graph.value(id).name + ".float32", to_float32(graph.constant(id)));
}

void pack_linear(Graph& graph, Node& node, Type type) {
  type = type_attribute(node, "type", type);
  const std::string name = graph.value(node.input(1)).name;
  const Tensor weight = to_float32(graph.constant(node.input(1)));
  const int64_t n = weight.dim(1);
  std::vector<float> scales;
  const bool more = node.inputs.size() > 4 || type == Type::kE4M3;
  if (more) node.inputs.resize(6, kNoValue);
  node.inputs[1] = add_weight(graph, name + ".packed", packed(weight, false, weight.dim(0), type, scales));
  if (node.inputs.size() > 2) node.inputs[2] = float_constant(graph, node.inputs[2]);
  if (type == Type::kE4M3) {
    for (float& s : scales) s *= node.real("x_scale", 1);
    node.inputs[5] = add_weight(graph, name + ".scale", Tensor::f32({n}, scales));
  }
  node.attributes["packed_n"] = n;
  node.attributes["type"] = std::string(type_name(type));
}

// y = s·Σ (x − z)·W + b  =  s·Σ x·W + (b − s·z·ΣW), with s the scale of x times that of the column.
void pack_quantized(Graph& graph, Node& node) {
  const std::string name = graph.value(node.input(1)).name;
  const Tensor weight = graph.constant(node.input(1));
  const Tensor columns = to_float32(graph.constant(node.input(2)));
  const int64_t k = weight.dim(0), n = weight.dim(1);
  const auto w = weight.as<int8_t>();
  const auto zero = static_cast<double>(node.integer("x_zero_point", 0));
  const double x_scale = static_cast<double>(node.real("x_scale", 1));
  Tensor transposed(DType::kI8, {n, k}), scale(DType::kF32, {n}), bias(DType::kF32, {n});
  const Tensor given = bias_of(node) == kNoValue ? Tensor() : to_float32(graph.constant(bias_of(node)));
  for (int64_t j = 0; j < n; ++j) {
    int64_t sum = 0;
    for (int64_t i = 0; i < k; ++i) {
      const int8_t v = w[static_cast<size_t>(i * n + j)];
      transposed.as_mutable<int8_t>()[static_cast<size_t>(j * k + i)] = v;
      sum += v;
    }
    const auto at = static_cast<size_t>(j);
    const double s = x_scale * static_cast<double>(columns.as<float>()[at]);
    const double b = given.empty() ? 0.0 : static_cast<double>(given.as<float>()[at]);
    scale.as_mutable<float>()[at] = static_cast<float>(s);
    bias.as_mutable<float>()[at] = static_cast<float>(b - s * zero * static_cast<double>(sum));
  }
  const ValueId residual = residual_of(node);
  node.op = Op::Linear;
  node.inputs = {node.input(0),
                 add_weight(graph, name + ".packed", std::move(transposed)),
                 add_weight(graph, name + ".shifted_bias", std::move(bias)),
                 residual,
                 kNoValue,
                 add_weight(graph, name + ".scale", std::move(scale))};
  node.attributes["packed_n"] = n;
}

// The table takes the bias in its rows of patches; its other rows are the result for class and register
// tokens.
void pack_patches(Graph& graph, Node& node, Type type) {
  const std::string name = graph.value(node.input(1)).name;
  const Tensor weight = to_float32(graph.constant(node.input(1)));
  const int64_t n = weight.dim(0), k = weight.count() / n, unit = 16 / type_size(type);
  const int64_t rows = extent(graph, node.outputs[0], 1).fixed, prefix = node.integer("prefix", 0);
  std::vector<float> scales;
  const auto constant = [&](size_t i) {
    return node.input(i) == kNoValue ? Tensor() : to_float32(graph.constant(node.input(i)));
  };
  const Tensor bias = constant(2), table = constant(3);
  const bool one_table = !table.empty() || prefix > 0;
  node.inputs.resize(4, kNoValue);
  node.inputs[1] =
      add_weight(graph, name + ".packed", packed(weight, true, (k + unit - 1) / unit * unit, type, scales));
  node.inputs[2] = one_table ? kNoValue : float_constant(graph, node.inputs[2]);
  if (one_table) {
    Tensor out(dtype_of(type), {rows, n});
    for (int64_t t = 0; t < rows; ++t)
      for (int64_t j = 0; j < n; ++j) {
        float v = table.empty() ? 0.0f : table.as<float>()[static_cast<size_t>(t * n + j)];
        if (t >= prefix && !bias.empty()) v += bias.as<float>()[static_cast<size_t>(j)];
        store(out, static_cast<size_t>(t * n + j), v, type);
      }
    node.inputs[3] = add_weight(graph, name + ".table", std::move(out));
  }
  node.attributes["packed_n"] = n;
  node.attributes["type"] = std::string(type_name(type));
}

}  // namespace

void pack_weights(Graph& graph, const Target& target) {
  for (Node& node : graph.nodes) {
    if (is_host(node)) continue;
    if (node.op == Op::Linear)
      pack_linear(graph, node, target.precision.type);
    else if (node.op == Op::QuantizedLinear)
      pack_quantized(graph, node);
    else if (node.op == Op::PatchEmbed)
      pack_patches(graph, node, target.precision.type);
  }
}

}  // namespace vitrail::cuda
