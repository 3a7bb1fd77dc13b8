// SPDX-License-Identifier: Apache-2.0
#include "import/safetensors/builder.h"

#include <cmath>

namespace vitrail::safetensors {

std::string Builder::unique(const std::string& name) {
  const int count = used_[name]++;
  return count == 0 ? name : unique(name + "." + std::to_string(count));
}

ValueId Builder::node(Op op, const std::string& name, std::vector<ValueId> inputs, Attributes attributes) {
  Value value;
  value.name = unique(name);
  const std::string node_name = value.name;
  const ValueId id = graph.add_value(std::move(value));
  graph.nodes.push_back({op, node_name, std::move(inputs), {id}, std::move(attributes), ""});
  return id;
}

ValueId Builder::constant(const std::string& name, Tensor tensor) {
  return graph.add_constant(unique(name), std::move(tensor));
}
ValueId Builder::integers(const std::string& name, const std::vector<int64_t>& values) {
  return constant(name, Tensor::i64({static_cast<int64_t>(values.size())}, values));
}
ValueId Builder::scalar(const std::string& name, float value) { return constant(name, Tensor::f32({}, {value})); }

ValueId Builder::reshape(const std::string& name, ValueId x, const std::vector<int64_t>& shape) {
  return node(Op::Reshape, name, {x, integers(name + ".shape", shape)});
}
ValueId Builder::transpose(const std::string& name, ValueId x, const std::vector<int64_t>& order) {
  return node(Op::Transpose, name, {x}, {{"perm", order}});
}
ValueId Builder::concat(const std::string& name, std::vector<ValueId> parts, int64_t axis) {
  return node(Op::Concat, name, std::move(parts), {{"axis", axis}});
}
ValueId Builder::slice(const std::string& name, ValueId x, int64_t axis, int64_t first, int64_t end) {
  return node(Op::Slice, name, {x, integers(name + ".from", {first}), integers(name + ".to", {end}),
                                integers(name + ".axes", {axis})});
}
ValueId Builder::token(const std::string& name, ValueId x, int64_t index) {
  return node(Op::Gather, name, {x, constant(name + ".index", Tensor::i64({}, {index}))}, {{"axis", int64_t{1}}});
}
ValueId Builder::mean_over_tokens(const std::string& name, ValueId x) {
  return node(Op::ReduceMean, name, {x, integers(name + ".axes", {1})}, {{"keepdims", int64_t{0}}});
}

ValueId Builder::linear(const std::string& name, ValueId x, Tensor weight, Tensor bias) {
  const ValueId w = transpose(name + ".weight.T", constant(name + ".weight", std::move(weight)), {1, 0});
  const ValueId y = node(Op::MatMul, name + ".product", {x, w});
  return bias.empty() ? y : add(name, y, constant(name + ".bias", std::move(bias)));
}

ValueId Builder::layer_norm(const std::string& name, ValueId x, Tensor weight, Tensor bias, float epsilon) {
  std::vector<ValueId> inputs{x, constant(name + ".weight", std::move(weight))};
  if (!bias.empty()) inputs.push_back(constant(name + ".bias", std::move(bias)));
  return node(Op::LayerNormalization, name, std::move(inputs), {{"axis", int64_t{-1}}, {"epsilon", epsilon}});
}

ValueId Builder::activation(const std::string& name, ValueId x, const std::string& kind) {
  if (kind == "gelu") return node(Op::Gelu, name, {x}, {{"approximate", std::string("none")}});
  if (kind == "gelu_tanh") return node(Op::Gelu, name, {x}, {{"approximate", std::string("tanh")}});
  if (kind == "relu") return node(Op::Relu, name, {x});
  if (kind == "tanh") return node(Op::Tanh, name, {x});
  if (kind == "silu") return multiply(name, x, node(Op::Sigmoid, name + ".sigmoid", {x}));
  const ValueId scaled = multiply(name + ".scaled", x, scalar(name + ".factor", 1.702f));  // gelu_quick
  return multiply(name, x, node(Op::Sigmoid, name + ".sigmoid", {scaled}));
}

ValueId Builder::attention(const std::string& name, ValueId q, ValueId k, ValueId v, int64_t queries, int64_t keys,
                           int64_t heads, int64_t width) {
  const int64_t dim = width / heads;
  const auto split = [&](const char* what, ValueId x, int64_t tokens, const std::vector<int64_t>& order) {
    return transpose(name + what, reshape(name + what + ".heads", x, {0, tokens, heads, dim}), order);
  };
  const ValueId product = node(Op::MatMul, name + ".scores",
                               {split(".q", q, queries, {0, 2, 1, 3}), split(".k", k, keys, {0, 2, 3, 1})});
  const auto factor = static_cast<float>(1 / std::sqrt(static_cast<double>(dim)));
  const ValueId scores = multiply(name + ".scaled", product, scalar(name + ".scale", factor));
  const ValueId weights = node(Op::Softmax, name + ".softmax", {scores}, {{"axis", int64_t{-1}}});
  const ValueId sums = node(Op::MatMul, name + ".sums", {weights, split(".v", v, keys, {0, 2, 1, 3})});
  return reshape(name, transpose(name + ".merged", sums, {0, 2, 1, 3}), {0, queries, width});
}

ValueId Builder::repeat_for_batch(const std::string& name, ValueId x, const std::vector<int64_t>& rest, ValueId like) {
  const ValueId batch = node(Op::Shape, name + ".batch", {like}, {{"start", int64_t{0}}, {"end", int64_t{1}}});
  return node(Op::Expand, name, {x, concat(name + ".shape", {batch, integers(name + ".rest", rest)}, 0)});
}

void Builder::output(const std::string& name, ValueId value) {
  // The model's names for its outputs; nodes keep the module's.
  graph.value(value).name = unique(name);
  graph.outputs.push_back(value);
}

}  // namespace vitrail::safetensors
