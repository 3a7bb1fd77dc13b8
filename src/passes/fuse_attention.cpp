// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "graph/attention_scales.h"
#include "graph/edit.h"
#include "graph/linear_inputs.h"
#include "passes/strided_view.h"

namespace vitrail {
namespace {

struct Scores {
  double scale = 1;
  ValueId mask = kNoValue;
  const Node* product = nullptr;  // MatMul(q, kᵀ)
};

// Peels the mask and the scale off softmax's argument.
std::optional<Scores> match_scores(const Graph& graph, const Matcher& match, ValueId id) {
  Scores s;
  for (int depth = 0; depth < 4; ++depth) {
    const Node* node = match.producer(id);
    if (!node) return std::nullopt;
    if (node->op == Op::MatMul) {
      s.product = node;
      return s;
    }
    if (node->op == Op::Mul || node->op == Op::Div) {
      const bool first = node->op == Op::Mul && match.scalar(node->input(0)).has_value();
      const auto factor = match.scalar(node->input(first ? 0 : 1));
      if (!factor) return std::nullopt;
      s.scale *= node->op == Op::Mul ? *factor : 1 / *factor;
      id = node->input(first ? 1 : 0);
    } else if (node->op == Op::Add && s.mask == kNoValue && s.scale == 1) {
      // The mask is the operand that is not computed from a product of two activations.
      const bool first = match_scores(graph, match, node->input(0)).has_value();
      s.mask = node->input(first ? 1 : 0);
      id = node->input(first ? 0 : 1);
      if (graph.value(node->outputs[0]).shape != graph.value(id).shape || !graph.value(s.mask).shape ||
          graph.value(s.mask).dtype != DType::kF32)
        return std::nullopt;
    } else {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

// q, k or v as columns of a [B, S, C] source.
struct Operand {
  ValueId source = kNoValue;
  int64_t offset = 0;
  double scale = 1;
};

class AttentionFuser {
 public:
  explicit AttentionFuser(Graph& graph) : graph_(graph), match_(graph) {}

  int run() {
    const size_t count = graph_.nodes.size();
    for (size_t i = 0; i < count; ++i)
      if (graph_.nodes[i].op == Op::Transpose) try_fuse(i);
    insert_nodes(graph_, std::move(added_));
    return fused_;
  }

 private:
  // The anchor is the Transpose [B, H, S, Dv] → [B, S, H, Dv] that merges the heads.
  void try_fuse(size_t index) {
    const Node& merge = graph_.nodes[index];
    if (merge.integers("perm") != std::vector<int64_t>{0, 2, 1, 3}) return;
    const Node* context = match_.producer(merge.input(0), Op::MatMul);
    bool guarded = false;
    const Node* softmax = context ? weights(context->input(0), guarded) : nullptr;
    if (!softmax || !graph_.value(softmax->outputs[0]).shape) return;
    const auto rank = static_cast<int64_t>(graph_.value(softmax->outputs[0]).shape->size());
    const int64_t axis = softmax->integer("axis", -1);
    const auto scores = match_scores(graph_, match_, softmax->input(0));
    if (rank != 4 || (axis != -1 && axis != 3) || !scores || !scores->product) return;
    if (guarded && !every_row_sees_something(scores->mask)) return;
    // Copies: adding values below moves the originals.
    const auto out_shape = graph_.value(merge.outputs[0]).shape;       // [B, Sq, H, Dv]
    const auto score_shape = graph_.value(softmax->outputs[0]).shape;  // [B, H, Sq, Sk]
    const auto q_shape = graph_.value(scores->product->input(0)).shape;
    if (!out_shape || !q_shape || q_shape->size() != 4 || !(*out_shape)[2].is_fixed() ||
        !(*out_shape)[3].is_fixed() || !(*q_shape)[3].is_fixed() || (*q_shape)[1] != (*out_shape)[2])
      return;
    const Dim batch = (*out_shape)[0];
    const int64_t heads = (*out_shape)[2].fixed, dv = (*out_shape)[3].fixed, d = (*q_shape)[3].fixed;
    const Dim sq = (*score_shape)[2], sk = (*score_shape)[3];
    const auto q = operand(index, scores->product->input(0), {batch, Dim::of(heads), sq, Dim::of(d)}, kQuery);
    const auto k =
        operand(index, scores->product->input(1), {batch, Dim::of(heads), sk, Dim::of(d)}, kTransposedKey);
    const auto v = operand(index, context->input(1), {batch, Dim::of(heads), sk, Dim::of(dv)}, kValue);
    if (!q || !k || !v) return;

    Node attention;
    attention.op = Op::MultiHeadAttention;
    attention.name = context->name;
    attention.inputs = {q->source, k->source, v->source};
    if (scores->mask != kNoValue) attention.inputs.push_back(scores->mask);
    attention.attributes = {{"heads", heads},
                            {"head_dim", d},
                            {"v_head_dim", dv},
                            {"q_offset", q->offset},
                            {"k_offset", k->offset},
                            {"v_offset", v->offset},
                            {"scale", static_cast<float>(scores->scale * q->scale * k->scale)}};
    keep_ranges(*scores->product, *context, *q, *k, attention);
    attention.outputs = {add_intermediate(graph_, context->name + ".heads", DType::kF32,
                                          SymShape{batch, sq, Dim::of(heads * dv)})};
    const ValueId merged = attention.outputs[0];
    added_.emplace_back(index, std::move(attention));
    make_reshape(graph_.nodes[index], merged, *out_shape);
    ++fused_;
  }

  // The products' integers, of q and k before the scale that the attention applies.
  static void keep_ranges(const Node& scores, const Node& context, const Operand& q, const Operand& k,
                          Node& attention) {
    const auto query = byte_range(scores, "left"), key = byte_range(scores, "right"),
               weights = byte_range(context, "left"), value = byte_range(context, "right");
    if (!query || !key || !weights || !value || !(q.scale > 0) || !(k.scale > 0)) return;
    const auto before = [](const ByteRange& range, double scale) {
      return ByteRange{static_cast<float>(range.scale / scale), range.zero};
    };
    set_attention_scales(attention, {before(*query, q.scale), before(*key, k.scale), *weights, *value});
  }

  // The Softmax behind a value; PyTorch's dynamo exporter puts Where(IsNaN(y), 0, y) around it.
  const Node* weights(ValueId id, bool& guarded) const {
    const Node* guard = match_.producer(id, Op::Where);
    if (!guard) return match_.producer(id, Op::Softmax);
    const Node* test = match_.producer(guard->input(0), Op::IsNaN);
    guarded = true;
    return test && test->input(0) == guard->input(2) && match_.is_scalar(guard->input(1), 0)
               ? match_.producer(guard->input(2), Op::Softmax)
               : nullptr;
  }

  // A softmax of finite scores is NaN only where the mask leaves no key at all to a query. The guard against
  // that is then all there is to lose, and numbers that were NaN before.
  bool every_row_sees_something(ValueId mask) const {
    if (mask == kNoValue) return true;
    if (!graph_.is_constant(mask) || graph_.constant(mask).dtype() != DType::kF32) return false;
    const Tensor& bias = graph_.constant(mask);
    const int64_t width = bias.rank() ? bias.dim(bias.rank() - 1) : 1;
    const auto all = bias.as<float>();
    for (int64_t at = 0; at < bias.count(); at += width) {
      const auto row = all.subspan(static_cast<size_t>(at), static_cast<size_t>(width));
      if (std::none_of(row.begin(), row.end(), [](float v) { return std::isfinite(v); })) return false;
    }
    return true;
  }

  enum Role { kQuery, kTransposedKey, kValue };

  // Finds the operand of shape [B, H, S, D] (kᵀ is stored as [B, H, D, S]) in a [B, S, C] source; where it is
  // no such view, two nodes that lay it out that way are added. Scales of q and k go into the softmax; one of
  // v cannot.
  std::optional<Operand> operand(size_t index, ValueId id, const SymShape& want, Role role) {
    const bool transposed = role == kTransposedKey;
    auto view = trace_view(graph_, match_, id);
    if (!view || view->shape.size() != 4) return std::nullopt;
    if (transposed) {
      std::swap(view->shape[2], view->shape[3]);
      std::swap(view->strides[2], view->strides[3]);
    }
    if (view->shape != want) return std::nullopt;
    const auto& source = *graph_.value(view->source).shape;
    const int64_t d = want[3].fixed;
    if (source.size() == 3 && (role != kValue || view->scale == 1) && source[0] == want[0] &&
        source[1] == want[2] && source[2].is_fixed() && view->strides[3] == 1 &&
        (view->strides[1] == d || want[1] == Dim::of(1)) && view->strides[2] == source[2].fixed &&
        view->offset + want[1].fixed * d <= source[2].fixed) {
      Operand t;
      t.source = view->source;
      t.offset = view->offset;
      t.scale = view->scale;
      return t;
    }
    return laid_out(index, id, want, transposed);
  }

  std::optional<Operand> laid_out(size_t index, ValueId id, const SymShape& want, bool transposed) {
    Node transpose;
    transpose.op = Op::Transpose;
    transpose.name = graph_.value(id).name + ".tokens_first";
    transpose.inputs = {id};
    transpose.attributes = {
        {"perm", transposed ? std::vector<int64_t>{0, 3, 1, 2} : std::vector<int64_t>{0, 2, 1, 3}}};
    transpose.outputs = {
        add_intermediate(graph_, transpose.name, DType::kF32, SymShape{want[0], want[2], want[1], want[3]})};
    Node merge;
    merge.name = graph_.value(id).name + ".merged_heads";
    merge.outputs = {add_intermediate(graph_, merge.name, DType::kF32,
                                      SymShape{want[0], want[2], Dim::of(want[1].fixed * want[3].fixed)})};
    make_reshape(merge, transpose.outputs[0], *graph_.value(merge.outputs[0]).shape);
    Operand t;
    t.source = merge.outputs[0];
    added_.emplace_back(index, std::move(transpose));
    added_.emplace_back(index, std::move(merge));
    return t;
  }

  static void make_reshape(Node& node, ValueId input, const SymShape& shape) {
    std::vector<int64_t> extents;
    for (Dim d : shape) extents.push_back(d.is_fixed() ? d.fixed : -1);
    node.op = Op::Reshape;
    node.inputs = {input};
    node.attributes = {{"shape", extents}};
  }

  Graph& graph_;
  Matcher match_;
  std::vector<std::pair<size_t, Node>> added_;
  int fused_ = 0;
};

// A bare projection whose whole output one attention reads.
const Node* projection(const Graph& graph, const Matcher& match, const Node& attention, size_t input) {
  static constexpr const char* kOffsets[] = {"q_offset", "k_offset", "v_offset"};
  const ValueId id = attention.input(input);
  const Node* linear = match.producer(id);
  if (!linear || !is_linear(*linear) || !match.single_use(id) || residual_of(*linear) != kNoValue ||
      linear->has("activation") || attention.integer(kOffsets[input], 0) != 0 ||
      !graph.is_constant(linear->input(1)))
    return nullptr;
  return linear;
}

// Rows of the parts side by side: [K, n0 + n1 + n2].
Tensor join_columns(std::span<const Tensor> parts) {
  int64_t width = 0;
  for (const Tensor& t : parts) width += t.shape().back();
  const int64_t rows = parts[0].rank() == 2 ? parts[0].dim(0) : 1;
  Tensor out(parts[0].dtype(), parts[0].rank() == 2 ? Shape{rows, width} : Shape{width});
  auto* to = static_cast<std::byte*>(out.mutable_data());
  for (int64_t r = 0; r < rows; ++r)
    for (const Tensor& t : parts) {
      const size_t bytes = static_cast<size_t>(t.shape().back()) * dtype_size(t.dtype());
      std::memcpy(to, static_cast<const std::byte*>(t.data()) + static_cast<size_t>(r) * bytes, bytes);
      to += bytes;
    }
  return out;
}

// Whether the products of two projections are those of one wider matrix.
bool same_left_side(const Node& a, const Node& b) {
  return a.op == b.op && a.input(0) == b.input(0) && a.real("x_scale", 1) == b.real("x_scale", 1) &&
         a.integer("x_zero_point", 0) == b.integer("x_zero_point", 0);
}

}  // namespace

int fuse_attention(Graph& graph) { return AttentionFuser(graph).run(); }

int merge_qkv(Graph& graph) {
  int merged = 0;
  const Matcher match(graph);
  std::vector<std::pair<size_t, Node>> added;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].op != Op::MultiHeadAttention) continue;
    const Node attention = graph.nodes[i];
    const Node* parts[3];
    for (size_t p = 0; p < 3; ++p) parts[p] = projection(graph, match, attention, p);
    if (!parts[0] || !parts[1] || !parts[2] || parts[0] == parts[1] ||
        !same_left_side(*parts[0], *parts[1]) || !same_left_side(*parts[0], *parts[2]))
      continue;
    std::vector<Tensor> weights, scales, biases;
    std::vector<int64_t> offsets{0};
    bool any_bias = false;
    for (const Node* p : parts) {
      weights.push_back(graph.constant(p->input(1)));
      const int64_t n = weights.back().dim(1);
      offsets.push_back(offsets.back() + n);
      if (p->op == Op::QuantizedLinear) scales.push_back(graph.constant(p->input(2)));
      any_bias |= bias_of(*p) != kNoValue;
      biases.push_back(bias_of(*p) == kNoValue ? Tensor(DType::kF32, {n}) : graph.constant(bias_of(*p)));
    }
    Node linear;
    linear.op = parts[0]->op;
    linear.attributes = parts[0]->attributes;
    linear.name = attention.name + ".qkv";
    linear.inputs = {parts[0]->input(0), add_weight(graph, linear.name + ".weight", join_columns(weights))};
    if (!scales.empty())
      linear.inputs.push_back(add_weight(graph, linear.name + ".scale", join_columns(scales)));
    if (any_bias) linear.inputs.push_back(add_weight(graph, linear.name + ".bias", join_columns(biases)));
    SymShape shape = *graph.value(attention.input(0)).shape;
    shape.back() = Dim::of(offsets.back());
    const ValueId qkv = add_intermediate(graph, linear.name, DType::kF32, shape);
    linear.outputs = {qkv};
    added.emplace_back(i, std::move(linear));
    Node& node = graph.nodes[i];
    for (size_t p = 0; p < 3; ++p) node.inputs[p] = qkv;
    node.attributes["q_offset"] = offsets[0];
    node.attributes["k_offset"] = offsets[1];
    node.attributes["v_offset"] = offsets[2];
    ++merged;
  }
  insert_nodes(graph, std::move(added));
  return merged;
}

}  // namespace vitrail
