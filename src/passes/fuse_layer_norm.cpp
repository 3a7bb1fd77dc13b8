// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_layer_norm.h"

#include "graph/edit.h"
#include "passes/match.h"

namespace vitrail {
namespace {

struct Core {
  ValueId x = kNoValue;
  float epsilon = 0;
};

bool reduces_last_axis(const Graph& graph, const Node& node) {
  const ValueId axes = node.input(1);
  if (node.integer("keepdims", 1) != 1 || axes == kNoValue || !graph.value(axes).integers) return false;
  const auto& list = *graph.value(axes).integers;
  const auto& shape = graph.value(node.input(0)).shape;
  return list.size() == 1 && shape &&
         (list[0] == Dim::of(-1) || list[0] == Dim::of(static_cast<int64_t>(shape->size()) - 1));
}

// (x - mean(x)) as Sub(x, ReduceMean(x)).
ValueId centred(const Graph& graph, const Matcher& match, ValueId id) {
  const Node* sub = match.producer(id, Op::Sub);
  const Node* mean = sub ? match.producer(sub->input(1), Op::ReduceMean) : nullptr;
  if (!mean || mean->input(0) != sub->input(0) || !reduces_last_axis(graph, *mean)) return kNoValue;
  return sub->input(0);
}

bool is_square_of(const Matcher& match, ValueId id, ValueId base) {
  if (const Node* pow = match.producer(id, Op::Pow))
    return pow->input(0) == base && match.is_scalar(pow->input(1), 2.0);
  const Node* mul = match.producer(id, Op::Mul);
  return mul && mul->input(0) == base && mul->input(1) == base;
}

// Matches d / sqrt(mean(d²) + eps) or d * reciprocal(sqrt(…)) with d = x - mean(x).
std::optional<Core> match_core(const Graph& graph, const Matcher& match, ValueId id) {
  ValueId d = kNoValue;
  const Node* root = nullptr;
  if (const Node* div = match.producer(id, Op::Div)) {
    d = div->input(0);
    root = match.producer(div->input(1), Op::Sqrt);
  } else if (const Node* mul = match.producer(id, Op::Mul)) {
    if (auto s = match.split(*mul, Op::Reciprocal)) {
      d = s->other;
      root = match.producer(s->made_by->input(0), Op::Sqrt);
    }
  }
  if (!root) return std::nullopt;
  const Node* add = match.producer(root->input(0), Op::Add);
  const auto parts = add ? match.split(*add, Op::ReduceMean) : std::nullopt;
  if (!parts || !reduces_last_axis(graph, *parts->made_by)) return std::nullopt;
  const auto epsilon = match.scalar(parts->other);
  const ValueId x = centred(graph, match, d);
  if (!epsilon || x == kNoValue || !is_square_of(match, parts->made_by->input(0), d)) return std::nullopt;
  return Core{x, static_cast<float>(*epsilon)};
}

}  // namespace

int fuse_layer_norm(Graph& graph) {
  int fused = 0;
  const Matcher match(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].op != Op::Add) continue;
    const auto add = match.constant_operand(graph.nodes[i]);
    const Node* mul = add ? match.producer(add->second, Op::Mul) : nullptr;
    const auto scaled = mul ? match.constant_operand(*mul) : std::nullopt;
    if (!scaled) continue;
    const auto core = match_core(graph, match, scaled->second);
    const int64_t width = core ? last_extent(graph, core->x) : -1;
    if (width < 1 || !is_row_constant(graph, scaled->first, width) ||
        !is_row_constant(graph, add->first, width))
      continue;
    const std::string base = graph.nodes[i].name;
    const ValueId scale =
        add_weight(graph, base + ".scale", row_constant(graph.constant(scaled->first), width));
    const ValueId bias = add_weight(graph, base + ".bias", row_constant(graph.constant(add->first), width));
    Node& node = graph.nodes[i];
    node.op = Op::LayerNormalization;
    node.inputs = {core->x, scale, bias};
    node.attributes = {{"axis", int64_t{-1}}, {"epsilon", core->epsilon}};
    ++fused;
  }
  return fused;
}

}  // namespace vitrail
