// SPDX-License-Identifier: Apache-2.0
#include "passes/structure.h"

#include <fmt/format.h>

#include "graph/linear_inputs.h"
#include "passes/match.h"
#include "passes/select_rows.h"

namespace vitrail {
namespace {

int64_t fixed_extent(const Graph& graph, ValueId id, size_t axis) {
  const auto& shape = graph.value(id).shape;
  return shape && axis < shape->size() && (*shape)[axis].is_fixed() ? (*shape)[axis].fixed : 0;
}

int64_t linear_width(const Graph& graph, const Node& linear) { return last_extent(graph, linear.outputs[0]); }

bool selects_rows(const Node& node) { return node.op == Op::Slice && selection_of(node).has_value(); }

// The value itself, or the full one when the branch and its addition are computed for some rows only.
ValueId full_rows(const Graph& graph, const UseMap& uses, ValueId id) {
  const int n = id == kNoValue ? -1 : uses.producer(id);
  const Node* node = n < 0 ? nullptr : &graph.nodes[static_cast<size_t>(n)];
  return node && selects_rows(*node) ? node->input(0) : id;
}

// An Add here is one of a constant: a bias that rounding keeps apart from its product.
bool is_passed_through(const Node& node) {
  switch (node.op) {
    case Op::Add:
    case Op::DequantizeLinear:
    case Op::LayerNormalization:
    case Op::Linear:
    case Op::Mul:
    case Op::QuantizedLinear:
    case Op::QuantizeLinear:
    case Op::Reshape:
      return true;
    default:
      return selects_rows(node);
  }
}

// The node that adds a branch ending in `id` to the stream: a Linear with a residual or a plain Add. Looks
// through what may stand between attention and its projection, and behind that before the addition.
const Node* closing_addition(const Graph& graph, const UseMap& uses, ValueId id, ValueId* stream) {
  for (int depth = 0; depth < 9; ++depth) {
    if (uses.consumers(id).size() != 1) return nullptr;
    const Node& next = graph.nodes[static_cast<size_t>(uses.consumers(id)[0])];
    if (is_linear(next) && residual_of(next) != kNoValue && next.input(0) == id) {
      *stream = full_rows(graph, uses, residual_of(next));
      return &next;
    }
    const ValueId added = next.op == Op::Add ? next.input(next.input(0) == id ? 1 : 0) : kNoValue;
    if (added != kNoValue && !graph.is_constant(added)) {
      *stream = full_rows(graph, uses, added);
      return &next;
    }
    if (!is_passed_through(next)) return nullptr;
    id = next.outputs[0];
  }
  return nullptr;
}

// The node that adds the MLP's branch back to `stream`: the last reader of the stream that is a Linear or
// Add.
const Node* second_addition(const Graph& graph, const UseMap& uses, ValueId stream) {
  const Node* found = nullptr;
  std::vector<int> readers;
  for (int n : uses.consumers(stream)) {
    readers.push_back(n);
    const Node& node = graph.nodes[static_cast<size_t>(n)];
    if (!selects_rows(node)) continue;
    const auto further = uses.consumers(node.outputs[0]);
    readers.insert(readers.end(), further.begin(), further.end());
  }
  for (int n : readers) {
    const Node& node = graph.nodes[static_cast<size_t>(n)];
    const bool adds = is_linear(node) && full_rows(graph, uses, residual_of(node)) == stream;
    if (adds || node.op == Op::Add) found = &node;
  }
  return found;
}

void mark_ancestors(Graph& graph, const UseMap& uses, ValueId id, const std::string& stage) {
  std::vector<ValueId> open{id};
  while (!open.empty()) {
    const ValueId v = open.back();
    open.pop_back();
    const int n = v == kNoValue ? -1 : uses.producer(v);
    if (n < 0 || !graph.nodes[static_cast<size_t>(n)].stage.empty()) continue;
    Node& node = graph.nodes[static_cast<size_t>(n)];
    node.stage = stage;
    open.insert(open.end(), node.inputs.begin(), node.inputs.end());
  }
}

void describe_head(const Graph& graph, ModelStructure& s) {
  if (s.pooling.empty()) s.pooling = "none";
  s.head = "none";
  int64_t tokens = s.tokens;  // that reach the head
  for (const Node& node : graph.nodes)
    if (selects_rows(node) && fixed_extent(graph, node.input(0), 1) == s.tokens)
      tokens = fixed_extent(graph, node.outputs[0], 1);
  if (tokens == 1 && s.tokens > 1 && s.pooling == "none") s.pooling = "class token";
  for (const Node& node : graph.nodes) {
    if (node.stage != "head") continue;
    if (node.op == Op::Gather || node.op == Op::Slice) {
      if (s.pooling == "none" && fixed_extent(graph, node.input(0), 1) == tokens &&
          (node.op == Op::Gather || fixed_extent(graph, node.outputs[0], 1) == 1))
        s.pooling = "class token";
    }
    if (node.op == Op::ReduceMean && s.pooling == "none") s.pooling = "mean";
    if (is_linear(node) && s.head != "convolutional")
      s.head = fmt::format("linear [{}]", linear_width(graph, node));
    if (node.op == Op::Conv || node.op == Op::ConvTranspose) s.head = "convolutional";
  }
}

ModelStructure unrecognised(Graph& graph, std::string reason) {
  ModelStructure s;
  s.reason = std::move(reason);
  for (Node& node : graph.nodes) node.stage = "model";
  if (!graph.outputs.empty()) s.stages.push_back({"model", graph.outputs[0]});
  return s;
}

}  // namespace

ModelStructure recognise_structure(Graph& graph) {
  const UseMap uses(graph);
  for (Node& node : graph.nodes) node.stage.clear();
  ModelStructure s;
  std::vector<ValueId> block_inputs;
  ValueId last_stream = kNoValue;
  for (const Node& node : graph.nodes) {
    if (node.op != Op::MultiHeadAttention) continue;
    ValueId stream = kNoValue;
    const Node* addition = closing_addition(graph, uses, node.outputs[0], &stream);
    // After the blocks an attention may pool the tokens (SigLIP's MAP head); it belongs to the head.
    if (!addition && !block_inputs.empty()) {
      s.pooling = "attention";
      break;
    }
    if (!addition)
      return unrecognised(graph, fmt::format("no residual addition follows the attention '{}'", node.name));
    if (block_inputs.empty()) {
      s.heads = node.integer("heads", 0);
      s.head_dim = node.integer("head_dim", 0);
      s.width = last_extent(graph, stream);
      s.tokens = fixed_extent(graph, stream, 1);
    }
    block_inputs.push_back(stream);
    last_stream = addition->outputs[0];
  }
  if (block_inputs.empty()) return unrecognised(graph, "no attention was recognised");
  const Node* closing = second_addition(graph, uses, last_stream);
  if (!closing) return unrecognised(graph, "no MLP follows the last attention");

  s.blocks = static_cast<int64_t>(block_inputs.size());
  for (size_t i = 0; i < block_inputs.size(); ++i)
    s.stages.push_back({i == 0 ? "patch_embed" : fmt::format("block.{}", i - 1), block_inputs[i]});
  s.stages.push_back({fmt::format("block.{}", s.blocks - 1), closing->outputs[0]});
  for (const Stage& stage : s.stages) mark_ancestors(graph, uses, stage.output, stage.name);
  for (Node& node : graph.nodes)
    if (node.stage.empty()) node.stage = "head";
  s.stages.push_back({"head", graph.outputs.empty() ? kNoValue : graph.outputs[0]});
  for (const Node& node : graph.nodes) {
    if (node.op == Op::PatchEmbed) s.prefix_tokens = node.integer("prefix", 0);
    if (is_linear(node) && node.stage == "block.0" && residual_of(node) == kNoValue && node.has("activation"))
      s.mlp_width = linear_width(graph, node);
  }
  describe_head(graph, s);
  return s;
}

}  // namespace vitrail
