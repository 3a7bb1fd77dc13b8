// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "backends/cuda/compile.h"
#include "backends/cuda/kernel_list.h"
#include "graph/edit.h"
#include "graph/linear_inputs.h"

namespace vitrail::cuda {
namespace {

int64_t onnx_type(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return 10;
    case DType::kF64:
      return 11;
    case DType::kBF16:
      return 16;
    default:
      return 1;
  }
}

class Assigner {
 public:
  Assigner(Graph& graph, DType type) : graph_(graph), type_(type) {
    for (const Value& v : graph.values) model_.push_back(v.dtype);
  }

  void run() {
    for (index_ = 0; index_ < graph_.nodes.size(); ++index_) {
      // Copies of the ids: converting adds values and may move the node's own.
      for (size_t i = 0; i < graph_.nodes[index_].inputs.size(); ++i) {
        const ValueId id = graph_.nodes[index_].inputs[i];
        if (id == kNoValue) continue;
        const DType wanted = wanted_input(graph_.nodes[index_], i);
        if (wanted != DType::kUndefined) graph_.nodes[index_].inputs[i] = as(id, wanted);
      }
      for (size_t i = 0; i < graph_.nodes[index_].outputs.size(); ++i) set_output(i);
    }
    insert_nodes(graph_, std::move(added_));
  }

 private:
  DType model(ValueId id) const {
    return static_cast<size_t>(id) < model_.size() ? model_[static_cast<size_t>(id)] : graph_.value(id).dtype;
  }

  // The type in which the node reads an operand; kUndefined: as it is.
  DType wanted_input(const Node& node, size_t i) const {
    const ValueId id = node.inputs[i];
    if (!is_float(model(id))) return DType::kUndefined;
    if (is_host(node)) return model(id);
    switch (node.op) {
      case Op::Linear:
      case Op::QuantizedLinear:
        // Weights, bias and scales are laid out later; statistics stay float32.
        return i == 0 || (graph_.nodes[index_].op == Op::Linear ? i == 3 : i == 4) ? type_
                                                                                   : DType::kUndefined;
      case Op::PatchEmbed:
        return i == 0 ? DType::kF32 : DType::kUndefined;
      case Op::LayerNormalization:
        return i == 0 ? type_ : DType::kF32;
      case Op::MultiHeadAttention:
        return i == 3 ? DType::kF32 : type_;
      case Op::QuantizeLinear:
      case Op::DequantizeLinear:
        return i == 0 ? type_ : DType::kUndefined;
      case Op::Cast:
        return DType::kUndefined;
      default:
        return type_;
    }
  }

  // A product can write float32 itself: where the model wants it and there is little of it, as in a head.
  bool writes_float32(const Node& node, ValueId id) const {
    if (!is_linear(node) || is_host(node) || model(id) != DType::kF32 || residual_of(node) != kNoValue)
      return false;
    const auto& shape = *graph_.value(id).shape;
    return shape.size() == 2 && node.outputs.size() == 1;
  }

  void set_output(size_t i) {
    const ValueId id = graph_.nodes[index_].outputs[i];
    if (id == kNoValue) return;
    const bool is_stats =
        i > 0 && (graph_.nodes[index_].op == Op::Linear || graph_.nodes[index_].op == Op::PatchEmbed);
    if (!is_float(model(id)) || is_host(graph_.nodes[index_]) || is_stats ||
        graph_.nodes[index_].op == Op::RowStats)
      return;
    const bool leaves = std::find(graph_.outputs.begin(), graph_.outputs.end(), id) != graph_.outputs.end();
    if (leaves && (model(id) == type_ || writes_float32(graph_.nodes[index_], id))) return;
    if (!leaves) {
      graph_.value(id).dtype = type_;
      return;
    }
    // The output keeps its name and type behind a Cast; the rest of the graph reads the value in front of it.
    const Value copy = graph_.value(id);
    const ValueId inner = add_intermediate(graph_, copy.name + ".inner", type_, copy.shape);
    graph_.nodes[index_].outputs[i] = inner;
    converted_[{id, type_}] = inner;
    add_cast(inner, id, index_ + 1);
  }

  void add_cast(ValueId from, ValueId to, size_t at) {
    Node cast;
    cast.op = Op::Cast;
    cast.name = graph_.value(from).name + ".to_" + std::string(dtype_name(graph_.value(to).dtype));
    cast.stage = graph_.nodes[index_].stage;
    cast.inputs = {from};
    cast.outputs = {to};
    cast.attributes["to"] = onnx_type(graph_.value(to).dtype);
    cast.attributes["kernel"] = std::string("convert");
    added_.push_back({at, std::move(cast)});
  }

  // The value in another type: a new constant, or what a Cast in front of this node makes.
  ValueId as(ValueId id, DType dtype) {
    if (graph_.value(id).dtype == dtype) return id;
    const auto [known, is_new] = converted_.try_emplace({id, dtype}, kNoValue);
    if (!is_new) return known->second;
    const Value copy = graph_.value(id);
    const std::string name = copy.name + "." + std::string(dtype_name(dtype));
    if (copy.constant) {
      known->second = add_weight(graph_, name, convert_float(*copy.constant, dtype));
    } else {
      known->second = add_intermediate(graph_, name, dtype, copy.shape);
      add_cast(id, known->second, index_);
    }
    return known->second;
  }

  Graph& graph_;
  DType type_;
  std::vector<DType> model_;  // by ValueId, as the model has them
  size_t index_ = 0;
  std::map<std::pair<ValueId, DType>, ValueId> converted_;
  std::vector<std::pair<size_t, Node>> added_;
};

}  // namespace

void assign_types(Graph& graph, const Target& target) {
  Assigner(graph, dtype_of(target.precision.type)).run();
}

}  // namespace vitrail::cuda
