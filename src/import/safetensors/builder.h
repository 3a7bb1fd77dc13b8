// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace vitrail::safetensors {

// Appends layers to a graph, in ONNX's operators and newest forms. Every function returns the value it makes; names are
// those of the module in PyTorch.
class Builder {
 public:
  using Attributes = std::map<std::string, Attribute, std::less<>>;

  Graph graph;

  ValueId node(Op op, const std::string& name, std::vector<ValueId> inputs, Attributes attributes = {});
  ValueId constant(const std::string& name, Tensor tensor);
  ValueId integers(const std::string& name, const std::vector<int64_t>& values);
  ValueId scalar(const std::string& name, float value);

  ValueId add(const std::string& name, ValueId a, ValueId b) { return node(Op::Add, name, {a, b}); }
  ValueId multiply(const std::string& name, ValueId a, ValueId b) { return node(Op::Mul, name, {a, b}); }
  ValueId reshape(const std::string& name, ValueId x, const std::vector<int64_t>& shape);
  ValueId transpose(const std::string& name, ValueId x, const std::vector<int64_t>& order);
  ValueId concat(const std::string& name, std::vector<ValueId> parts, int64_t axis);
  ValueId slice(const std::string& name, ValueId x, int64_t axis, int64_t first, int64_t end);
  // x[:, index] of [N, T, D].
  ValueId token(const std::string& name, ValueId x, int64_t index);
  ValueId mean_over_tokens(const std::string& name, ValueId x);

  // x · weightᵀ + bias with PyTorch's weight [out, in]; an empty bias is none.
  ValueId linear(const std::string& name, ValueId x, Tensor weight, Tensor bias);
  ValueId layer_norm(const std::string& name, ValueId x, Tensor weight, Tensor bias, float epsilon);
  // gelu, gelu_tanh, gelu_quick, relu, silu, tanh.
  ValueId activation(const std::string& name, ValueId x, const std::string& kind);
  // Softmax of q · kᵀ / √d with [N, Tq, D], [N, Tk, D]; T is 0 where it is copied from the input.
  ValueId attention(const std::string& name, ValueId q, ValueId k, ValueId v, int64_t queries, int64_t keys,
                    int64_t heads, int64_t width);
  // [1, …`rest`] repeated for every picture of `like`.
  ValueId repeat_for_batch(const std::string& name, ValueId x, const std::vector<int64_t>& rest, ValueId like);

  void output(const std::string& name, ValueId value);

 private:
  std::string unique(const std::string& name);
  std::map<std::string, int> used_;
};

}  // namespace vitrail::safetensors
