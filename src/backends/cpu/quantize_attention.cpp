// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/quantize_attention.h"

#include <algorithm>
#include <array>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/quantize.h"
#include "graph/attention_scales.h"
#include "graph/edit.h"
#include "graph/linear_inputs.h"
#include "graph/rows.h"

namespace vitrail::cpu {
namespace {

constexpr size_t kScale = 2;  // input of a QuantizedLinear

// Columns of a source that one operand of the attention reads, and what their bytes stand for.
struct Columns {
  int64_t first = 0, count = 0;
  ByteRange range;
};

std::array<Columns, 3> columns_of(const Node& attention, const AttentionScales& scales) {
  const int64_t heads = attention.integer("heads", 1), d = attention.integer("head_dim", 0);
  const int64_t dv = attention.integer("v_head_dim", d);
  return {Columns{attention.integer("q_offset", 0), heads * d, scales.query},
          Columns{attention.integer("k_offset", 0), heads * d, scales.key},
          Columns{attention.integer("v_offset", 0), heads * dv, scales.value}};
}

// A product that does nothing after its bias and that only this attention reads.
bool can_be_bytes(const Graph& graph, const UseMap& uses, ValueId id, size_t attention) {
  const int at = uses.producer(id);
  if (at < 0 || uses.is_output(id)) return false;
  const Node& maker = graph.nodes[static_cast<size_t>(at)];
  const auto readers = uses.consumers(id);
  return maker.op == Op::QuantizedLinear && can_write_bytes(graph, maker) && residual_of(maker) == kNoValue &&
         !maker.has("activation") && graph.value(id).dtype == DType::kF32 &&
         graph.is_constant(maker.input(kScale)) &&
         (bias_of(maker) == kNoValue || graph.is_constant(bias_of(maker))) &&
         std::ranges::all_of(readers, [&](int n) { return static_cast<size_t>(n) == attention; });
}

// One column cannot have two scales.
bool overlap(const Node& attention, const std::array<Columns, 3>& columns) {
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < i; ++j)
      if (attention.input(i) == attention.input(j) &&
          columns[i].first < columns[j].first + columns[j].count &&
          columns[j].first < columns[i].first + columns[i].count)
        return true;
  return false;
}

// Sums of 32 bits hold what a head adds up.
bool is_small(const Graph& graph, const Node& attention) {
  const Dim queries = extent(graph, attention.input(0), 1), keys = extent(graph, attention.input(1), 1);
  return queries.is_fixed() && keys.is_fixed() && keys.fixed <= kMostDepth &&
         attention.integer("head_dim", 0) <= kMostDepth;
}

// The scale and bias of `maker` so that its columns [first, first + count) come out as numbers of `range`.
void fold(Graph& graph, Node& maker, std::span<const Columns> parts) {
  const int64_t n = graph.value(maker.outputs[0]).shape->back().fixed;
  Tensor scale = graph.constant(maker.input(kScale)).clone();
  Tensor bias =
      bias_of(maker) == kNoValue ? Tensor(DType::kF32, {n}) : graph.constant(bias_of(maker)).clone();
  for (const Columns& part : parts) {
    for (int64_t c = part.first; c < part.first + part.count; ++c) {
      float& s = scale.as_mutable<float>()[static_cast<size_t>(c)];
      float& b = bias.as_mutable<float>()[static_cast<size_t>(c)];
      s /= part.range.scale;
      b = b / part.range.scale + static_cast<float>(part.range.zero);
    }
  }
  maker.inputs.resize(std::max(maker.inputs.size(), bias_input(maker) + 1), kNoValue);
  maker.inputs[kScale] = add_weight(graph, maker.name + ".byte_scale", std::move(scale));
  maker.inputs[bias_input(maker)] = add_weight(graph, maker.name + ".byte_bias", std::move(bias));
  maker.attributes["q_scale"] = 1.0f;
  maker.attributes["q_zero"] = int64_t{0};
  graph.value(maker.outputs[0]).dtype = DType::kU8;
}

}  // namespace

int quantize_attention(Graph& graph) {
  const UseMap uses(graph);
  int made = 0;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node attention = graph.nodes[i];
    const auto scales = attention.op == Op::MultiHeadAttention ? attention_scales(attention) : std::nullopt;
    if (!scales || attention.input(3) != kNoValue) continue;
    const auto columns = columns_of(attention, *scales);
    bool fits = !overlap(attention, columns) && is_small(graph, attention);
    for (size_t p = 0; p < 3; ++p) fits &= can_be_bytes(graph, uses, attention.input(p), i);
    if (!fits) continue;
    for (size_t p = 0; p < 3; ++p) {
      const ValueId source = attention.input(p);
      if (std::find(attention.inputs.begin(), attention.inputs.begin() + static_cast<ptrdiff_t>(p), source) !=
          attention.inputs.begin() + static_cast<ptrdiff_t>(p))
        continue;
      std::vector<Columns> parts;
      for (size_t other = p; other < 3; ++other)
        if (attention.input(other) == source) parts.push_back(columns[other]);
      fold(graph, graph.nodes[static_cast<size_t>(uses.producer(source))], parts);
    }
    ++made;
  }
  return made;
}

}  // namespace vitrail::cpu
