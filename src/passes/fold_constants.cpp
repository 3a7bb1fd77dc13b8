// SPDX-License-Identifier: Apache-2.0
#include "passes/fold_constants.h"

#include <algorithm>

#include "core/cancel.h"
#include "core/error.h"
#include "graph/edit.h"
#include "graph/infer.h"
#include "passes/quantized_weight.h"

namespace vitrail {
namespace {

// What all foldings together may add to the constants: keeps a small file from becoming a huge engine.
constexpr int64_t kMaxGrowth = int64_t{256} << 20;

class Folder {
 public:
  Folder(Graph& graph, const Evaluator& evaluate)
      : graph_(graph), evaluate_(evaluate), uses_(graph), readers_(graph.values.size()) {
    for (const Node& node : graph.nodes)
      for (ValueId id : node.inputs)
        if (id != kNoValue) ++readers_[static_cast<size_t>(id)];
    for (ValueId id : graph.outputs) ++readers_[static_cast<size_t>(id)];
  }

  // Whether the node's outputs are constants now.
  Result<bool> fold(const Node& node) {
    if (keeps_integers(graph_, uses_, node)) return false;
    if (!from_integers(node)) {
      VTL_ASSIGN(const bool evaluated, from_constants(node));
      if (!evaluated) return false;
    }
    release_inputs(node);
    return true;
  }

 private:
  bool from_integers(const Node& node) {
    std::vector<Tensor> tensors;
    for (ValueId id : node.outputs) {
      auto t = id == kNoValue ? std::optional<Tensor>(std::in_place) : tensor_of_integers(graph_.value(id));
      if (!t) return false;
      tensors.push_back(std::move(*t));
    }
    set(node, tensors);
    return true;
  }

  Result<bool> from_constants(const Node& node) {
    std::vector<const Tensor*> inputs;
    int64_t growth = 0;
    for (ValueId id : node.inputs) {
      if (id != kNoValue && !graph_.is_constant(id)) return false;
      inputs.push_back(id == kNoValue ? nullptr : &graph_.constant(id));
      if (id != kNoValue) growth -= static_cast<int64_t>(graph_.constant(id).bytes());
    }
    for (ValueId id : node.outputs) {
      if (id == kNoValue) continue;
      const Value& v = graph_.value(id);
      if (!v.shape || !is_fixed(*v.shape)) return false;
      growth += element_count(at_batch(*v.shape, 1)) * static_cast<int64_t>(dtype_size(v.dtype));
    }
    if (growth > growth_left_) return false;

    auto outputs = evaluate_(node, inputs);
    if (outputs.status().code() == Code::kResource) return false;
    if (!outputs.ok()) return outputs.status();
    VTL_TRY(check(node, *outputs));
    growth_left_ -= std::max<int64_t>(growth, 0);
    set(node, *outputs);
    return true;
  }

  Status check(const Node& node, const std::vector<Tensor>& outputs) const {
    if (outputs.size() < node.outputs.size())
      return internal_error("layer '{}': {} of {} outputs were computed", node.name, outputs.size(),
                            node.outputs.size());
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == kNoValue) continue;
      const Value& v = graph_.value(node.outputs[i]);
      if (sym_shape(outputs[i].shape()) != *v.shape || outputs[i].dtype() != v.dtype)
        return internal_error("layer '{}': {} gives {}{}, but {}{} was inferred", node.name, op_name(node.op),
                              dtype_name(outputs[i].dtype()), to_string(outputs[i].shape()),
                              dtype_name(v.dtype), to_string(*v.shape));
    }
    return {};
  }

  void set(const Node& node, const std::vector<Tensor>& tensors) {
    for (size_t i = 0; i < node.outputs.size(); ++i)
      if (node.outputs[i] != kNoValue) set_constant(graph_.value(node.outputs[i]), tensors[i]);
  }

  // Operands that nobody else reads are freed at once: weights are folded step by step and may be large.
  void release_inputs(const Node& node) {
    for (ValueId id : node.inputs)
      if (id != kNoValue && --readers_[static_cast<size_t>(id)] == 0) graph_.value(id).constant.reset();
  }

  Graph& graph_;
  const Evaluator& evaluate_;
  UseMap uses_;
  std::vector<int> readers_;  // nodes and graph outputs that still need each value
  int64_t growth_left_ = kMaxGrowth;
};

}  // namespace

Status fold_constants(Graph& graph, const Evaluator& evaluate) {
  Folder folder(graph, evaluate);
  std::vector<bool> dead(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (cancel::requested()) return cancelled();
    VTL_TRY(infer_node(graph, graph.nodes[i]));
    VTL_ASSIGN(dead[i], folder.fold(graph.nodes[i]));
  }
  remove_nodes(graph, dead);
  return {};
}

}  // namespace vitrail
