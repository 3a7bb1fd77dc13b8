// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/half.h"
#include "graph/edit.h"
#include "passes/cleanup.h"

namespace vitrail {
namespace {

template <class T, class Number>
std::optional<double> the_only(const Tensor& tensor, Number number) {
  const auto all = tensor.as<T>();
  if (all.empty() || std::any_of(all.begin(), all.end(), [&](T v) { return v != all[0]; }))
    return std::nullopt;
  return number(all[0]);
}

// What all elements of a constant are.
std::optional<double> the_only(const Tensor& tensor) {
  const auto same = [](auto v) { return static_cast<double>(v); };
  switch (tensor.dtype()) {
    case DType::kBool:
      return the_only<uint8_t>(tensor, [](uint8_t v) { return v ? 1.0 : 0.0; });
    case DType::kF32:
      return the_only<float>(tensor, same);
    case DType::kF64:
      return the_only<double>(tensor, same);
    case DType::kI64:
      return the_only<int64_t>(tensor, same);
    case DType::kF16:
      return the_only<uint16_t>(tensor, [](uint16_t v) { return static_cast<double>(half_to_float(v)); });
    case DType::kBF16:
      return the_only<uint16_t>(tensor, [](uint16_t v) { return static_cast<double>(bfloat16_to_float(v)); });
    default:
      return std::nullopt;
  }
}

class Uniform {
 public:
  explicit Uniform(const Graph& graph) : graph_(graph), uses_(graph) {}

  // What all elements of a value are, however many they will be. Exporters write masks that hide nothing as
  // `true` expanded to the batch, and choose by it.
  std::optional<double> of(ValueId id, int depth = 0) const {
    constexpr int kDeepest = 8;
    if (id == kNoValue || depth > kDeepest) return std::nullopt;
    if (graph_.is_constant(id)) return the_only(graph_.constant(id));
    const int maker = uses_.producer(id);
    if (maker < 0) return std::nullopt;
    const Node& node = graph_.nodes[static_cast<size_t>(maker)];
    switch (node.op) {
      case Op::Expand:
      case Op::Reshape:
      case Op::Squeeze:
      case Op::Tile:
      case Op::Transpose:
      case Op::Unsqueeze:
        return of(node.input(0), depth + 1);
      case Op::Where: {
        const ValueId chosen = choice(node, depth + 1);
        return of(chosen, depth + 1);
      }
      default:
        return std::nullopt;
    }
  }

  // The operand that a Where takes everywhere; kNoValue when that is not known.
  ValueId choice(const Node& where, int depth = 0) const {
    const auto test = of(where.input(0), depth);
    return test ? where.input(*test != 0 ? 1 : 2) : kNoValue;
  }

  bool is_computed(ValueId id) const { return uses_.producer(id) >= 0; }

 private:
  const Graph& graph_;
  const UseMap uses_;
};

// The operand that the node hands on unchanged; kNoValue when it computes something. Constants that change
// nothing (a bias of zeros) are part of layers that later passes look for, and stay.
ValueId handed_on(const Uniform& uniform, const Node& node) {
  if (node.op == Op::Where) return uniform.choice(node);
  if (node.op != Op::Add && node.op != Op::Sub) return kNoValue;
  for (size_t zero : {1u, 0u}) {
    if (zero == 0 && node.op == Op::Sub) break;
    if (uniform.is_computed(node.input(zero)) && uniform.of(node.input(zero)) == 0.0)
      return node.input(1 - zero);
  }
  return kNoValue;
}

}  // namespace

int remove_uniform_operands(Graph& graph) {
  const Uniform uniform(graph);
  std::vector<bool> dead(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const ValueId id = handed_on(uniform, node);
    if (id == kNoValue || graph.is_constant(id)) continue;
    const Value &from = graph.value(node.outputs[0]), &to = graph.value(id);
    if (!to.shape || to.shape != from.shape || to.dtype != from.dtype) continue;
    dead[i] = replace_uses(graph, node.outputs[0], id);
  }
  remove_nodes(graph, dead);
  return static_cast<int>(std::count(dead.begin(), dead.end(), true));
}

}  // namespace vitrail
