// SPDX-License-Identifier: Apache-2.0
// Builds small graphs in a line a node: GraphBuilder b; auto x = b.input("x", {kN, 3_d});
// b.output(b.node(Op::Relu, {x}));
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace vitrail::testing {

inline constexpr Dim kN{1, 0};  // the batch
constexpr Dim operator""_d(unsigned long long value) { return {0, static_cast<int64_t>(value)}; }

using Attributes = std::map<std::string, Attribute, std::less<>>;
using Ints = std::vector<int64_t>;

class GraphBuilder {
 public:
  Graph graph;

  ValueId input(std::string name, SymShape shape, DType dtype = DType::kF32) {
    Value v;
    v.name = std::move(name);
    v.dtype = dtype;
    v.shape = std::move(shape);
    graph.inputs.push_back(graph.add_value(std::move(v)));
    return graph.inputs.back();
  }

  ValueId constant(Tensor tensor) { return graph.add_constant(fresh("c"), std::move(tensor)); }
  ValueId ints(const Ints& values) {
    return constant(Tensor::i64({static_cast<int64_t>(values.size())}, values));
  }
  ValueId integer(int64_t value) { return constant(Tensor::i64({}, {value})); }
  ValueId real(float value) { return constant(Tensor::f32({}, {value})); }

  // Float weights that look random and are the same in every run; `seed` makes tensors differ.
  ValueId weight(Shape shape, float seed = 1, float scale = 1) {
    Tensor t(DType::kF32, std::move(shape));
    auto out = t.as_mutable<float>();
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = scale * std::sin(static_cast<float>(i) * 12.9898f + seed);
    return constant(std::move(t));
  }

  // Adds a node and returns its only output, whose name is `name` or a fresh one. The node has the same name.
  ValueId node(Op op, std::vector<ValueId> inputs, Attributes attributes = {}, const std::string& name = "") {
    return nodes(op, std::move(inputs), 1, std::move(attributes), name)[0];
  }

  // As node(), for an operator with `count` outputs.
  std::vector<ValueId> nodes(Op op, std::vector<ValueId> inputs, int count, Attributes attributes = {},
                             const std::string& name = "") {
    Node n;
    n.op = op;
    n.name = name.empty() ? fresh(std::string(op_name(op)) + "_") : name;
    n.inputs = std::move(inputs);
    n.attributes = std::move(attributes);
    for (int i = 0; i < count; ++i) {
      Value v;
      v.name = i == 0 ? n.name : n.name + ":" + std::to_string(i);
      n.outputs.push_back(graph.add_value(std::move(v)));
    }
    graph.nodes.push_back(n);
    return n.outputs;
  }

  // Makes a value a graph output, under `name` when one is given.
  void output(ValueId id, const std::string& name = "") {
    if (!name.empty()) graph.value(id).name = name;
    graph.outputs.push_back(id);
  }

 private:
  std::string fresh(const std::string& prefix) { return prefix + std::to_string(counter_++); }
  int counter_ = 0;
};

// How many nodes of this kind the graph has.
inline int count(const Graph& graph, Op op) {
  int n = 0;
  for (const Node& node : graph.nodes) n += node.op == op;
  return n;
}

// The first node of this kind, null when there is none.
inline const Node* find(const Graph& graph, Op op) {
  for (const Node& node : graph.nodes)
    if (node.op == op) return &node;
  return nullptr;
}

}  // namespace vitrail::testing
