// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_patch_embed.h"

#include <algorithm>

#include "graph/edit.h"
#include "passes/match.h"

namespace vitrail {
namespace {

bool is_patch_convolution(const Graph& graph, const Node& conv) {
  const ValueId weight = conv.input(1);
  if (!graph.is_constant(weight) || graph.constant(weight).rank() != 4) return false;
  const Shape& w = graph.constant(weight).shape();
  const auto all = [&](std::string_view name, int64_t expected) {
    const auto list = conv.integers(name);
    return std::all_of(list.begin(), list.end(), [&](int64_t v) { return v == expected; });
  };
  return conv.integers("strides") == std::vector<int64_t>{w[2], w[3]} && all("pads", 0) &&
         all("dilations", 1) && conv.integer("group", 1) == 1 &&
         conv.text("auto_pad", "NOTSET") == "NOTSET" &&
         (conv.input(2) == kNoValue || graph.is_constant(conv.input(2)));
}

// The convolution behind Conv → Reshape [N, C, P] → Transpose or Conv → Transpose [N, h, w, C] → Reshape.
const Node* convolution_of_tokens(const Matcher& match, const Node& node) {
  const auto permutes = [](const Node* n, const std::vector<int64_t>& perm) {
    return n && n->op == Op::Transpose && n->integers("perm") == perm;
  };
  const Node* before = match.producer(node.input(0));
  if (!before) return nullptr;
  const bool flattened = before->op == Op::Reshape && permutes(&node, {0, 2, 1});
  const bool permuted = node.op == Op::Reshape && permutes(before, {0, 2, 3, 1});
  return flattened || permuted ? match.producer(before->input(0), Op::Conv) : nullptr;
}

bool match_tokens(Graph& graph, const Matcher& match, Node& node) {
  if (node.op != Op::Transpose && node.op != Op::Reshape) return false;
  const Node* conv = convolution_of_tokens(match, node);
  if (!conv || !is_patch_convolution(graph, *conv)) return false;
  const auto& grid = graph.value(conv->outputs[0]).shape;   // [N, C, h, w]
  const auto& tokens = graph.value(node.outputs[0]).shape;  // [N, P, C]
  if (!grid || !tokens || tokens->size() != 3 || (*tokens)[0] != (*grid)[0] || (*tokens)[2] != (*grid)[1])
    return false;
  const Shape& w = graph.constant(conv->input(1)).shape();
  Node embed = *conv;
  node.op = Op::PatchEmbed;
  node.inputs = embed.inputs;
  node.attributes = {{"kernel_shape", std::vector<int64_t>{w[2], w[3]}},
                     {"strides", std::vector<int64_t>{w[2], w[3]}},
                     {"out_channels", w[0]},
                     {"prefix", int64_t{0}}};
  return true;
}

// The table of an embedding, zeros when it has none yet.
Tensor table_of(const Graph& graph, const Node& embed) {
  if (embed.input(3) != kNoValue) return graph.constant(embed.input(3)).clone();
  const auto& shape = *graph.value(embed.outputs[0]).shape;
  return Tensor(DType::kF32, {shape[1].fixed, shape[2].fixed});
}

// The rows [t, C] that an operand of the Concat repeats for every image; none when it is something else.
std::optional<Tensor> prefix_rows(const Graph& graph, const Matcher& match, ValueId id, int64_t width) {
  const Node* expand = match.producer(id, Op::Expand);
  const ValueId constant = expand ? expand->input(0) : id;
  if (!graph.is_constant(constant)) return std::nullopt;
  const Tensor& t = graph.constant(constant);
  const size_t rank = t.rank();  // [1, t, C], [t, C], or [C] as CLIP has it
  if (t.dtype() != DType::kF32 || rank < 1 || rank > 3 || (rank == 3 && t.dim(0) != 1) || t.dim(rank - 1) != width)
    return std::nullopt;
  const int64_t rows = rank == 1 ? 1 : t.dim(rank - 2);
  const auto& shape = graph.value(id).shape;
  if (!shape || shape->size() != 3 || (*shape)[1] != Dim::of(rows)) return std::nullopt;
  return t.reshaped({rows, width});
}

void become(Graph& graph, Node& node, const Node& embed, Tensor table, int64_t prefix) {
  node.op = Op::PatchEmbed;
  node.inputs = embed.inputs;
  node.inputs.resize(4, kNoValue);
  node.inputs[3] = add_weight(graph, node.name + ".table", std::move(table));
  node.attributes = embed.attributes;
  node.attributes["prefix"] = prefix;
}

const Node* open_embed(const Matcher& match, ValueId id) {
  const Node* embed = match.producer(id, Op::PatchEmbed);
  return embed && match.single_use(id) ? embed : nullptr;
}

bool absorb_concat(Graph& graph, const Matcher& match, Node& node) {
  if (node.op != Op::Concat || node.inputs.size() < 2) return false;
  const auto& shape = graph.value(node.outputs[0]).shape;
  const int64_t axis = node.integer("axis", 0);
  const Node* found = open_embed(match, node.inputs.back());
  if (!found || !shape || shape->size() != 3 || (axis != 1 && axis != -2)) return false;
  const Node embed = *found;
  const Tensor old = table_of(graph, embed);
  Tensor table(DType::kF32, {(*shape)[1].fixed, (*shape)[2].fixed});
  auto* row = table.as_mutable<float>().data();
  for (size_t i = 0; i + 1 < node.inputs.size(); ++i) {
    const auto rows = prefix_rows(graph, match, node.inputs[i], old.dim(1));
    if (!rows) return false;
    row = std::copy_n(rows->as<float>().data(), rows->count(), row);
  }
  std::copy_n(old.as<float>().data(), old.count(), row);
  become(graph, node, embed, table, embed.integer("prefix", 0) + table.dim(0) - old.dim(0));
  return true;
}

bool absorb_position(Graph& graph, const Matcher& match, Node& node) {
  if (node.op != Op::Add) return false;
  const auto operand = match.constant_operand(node);
  const Node* found = operand ? open_embed(match, operand->second) : nullptr;
  if (!found || graph.value(node.outputs[0]).shape != graph.value(operand->second).shape) return false;
  const Node embed = *found;
  Tensor table = table_of(graph, embed);
  const Tensor& position = graph.constant(operand->first);
  const auto rank = position.rank();
  if (position.dtype() != DType::kF32 || position.count() != table.count() || rank < 2 ||
      position.dim(rank - 1) != table.dim(1) || position.dim(rank - 2) != table.dim(0))
    return false;
  auto values = table.as_mutable<float>();
  for (size_t i = 0; i < values.size(); ++i) values[i] += position.as<float>()[i];
  become(graph, node, embed, table, embed.integer("prefix", 0));
  return true;
}

}  // namespace

int fuse_patch_embed(Graph& graph) {
  int fused = 0;
  const Matcher match(graph);
  // Topological order: the tokens come first, then, in any order, what is put before them or added to them.
  for (Node& node : graph.nodes) {
    if (match_tokens(graph, match, node))
      ++fused;
    else if (!absorb_concat(graph, match, node))
      absorb_position(graph, match, node);
  }
  return fused;
}

}  // namespace vitrail
