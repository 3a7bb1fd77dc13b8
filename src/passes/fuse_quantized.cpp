// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_quantized.h"

#include <cstring>
#include <map>

#include "graph/attention_scales.h"
#include "graph/edit.h"
#include "passes/match.h"
#include "passes/quantized_weight.h"

namespace vitrail {
namespace {

// The left side of an integer product.
struct Activation {
  ValueId numbers = kNoValue;
  float scale = 1;
  int64_t zero_point = 0;
};

std::optional<Activation> match_activation(const Graph& graph, const Matcher& match, ValueId id) {
  const Node* node = match.producer(id, Op::DequantizeLinear);
  if (!node || graph.is_constant(node->input(0)) || graph.value(id).dtype != DType::kF32) return std::nullopt;
  Activation a;
  a.numbers = node->input(0);
  const DType dtype = graph.value(a.numbers).dtype;
  const auto scale = match.scalar(node->input(1));
  if (!scale || (dtype != DType::kI8 && dtype != DType::kU8)) return std::nullopt;
  a.scale = static_cast<float>(*scale);
  const ValueId zero = node->input(2);
  if (zero == kNoValue) return a;
  if (!graph.is_constant(zero)) return std::nullopt;
  const Tensor& t = graph.constant(zero);
  if (t.count() != 1 || t.dtype() != dtype) return std::nullopt;
  a.zero_point = dtype == DType::kI8 ? int64_t{t.as<int8_t>()[0]} : int64_t{t.as<uint8_t>()[0]};
  return a;
}

Tensor transposed(const Tensor& matrix) {
  const auto rows = static_cast<size_t>(matrix.dim(0)), columns = static_cast<size_t>(matrix.dim(1));
  Tensor out(DType::kI8, {matrix.dim(1), matrix.dim(0)});
  const auto from = matrix.as<int8_t>();
  auto to = out.as_mutable<int8_t>();
  for (size_t r = 0; r < rows; ++r)
    for (size_t c = 0; c < columns; ++c) to[c * rows + r] = from[r * columns + c];
  return out;
}

Tensor scaled(const Tensor& row, float factor) {
  Tensor out = row.clone();
  for (float& v : out.as_mutable<float>()) v *= factor;
  return out;
}

class Fuser {
 public:
  explicit Fuser(Graph& graph) : graph_(graph), match_(graph) {}

  int run() {
    int fused = 0;
    for (size_t i = 0; i < graph_.nodes.size(); ++i)
      if (graph_.nodes[i].op == Op::MatMul || graph_.nodes[i].op == Op::Gemm) fused += try_fuse(i);
    return fused;
  }

 private:
  bool try_fuse(size_t index) {
    Node node = graph_.nodes[index];
    const bool gemm = node.op == Op::Gemm;
    if (gemm && node.integer("transA", 0) != 0) return false;
    const auto x = match_activation(graph_, match_, node.input(0));
    const Node* source = match_.producer(node.input(1));
    bool transpose = gemm && node.integer("transB", 0) != 0;
    if (source && swaps_axes(*source)) {
      transpose = !transpose;
      source = match_.producer(source->input(0));
    }
    const auto weight = source ? quantized_weight(graph_, *source) : std::nullopt;
    if (!x || !weight) return false;
    // Scales along the summed axis cannot leave the sum.
    const size_t output_axis = transpose ? 0 : 1;
    if (weight->scale.count() > 1 && weight->axis != output_axis) return false;
    const int64_t width = weight->numbers.dim(output_axis);
    const ValueId c = gemm ? node.input(2) : kNoValue;
    if (c != kNoValue && !is_row_constant(graph_, c, width)) return false;

    const float alpha = gemm ? node.real("alpha", 1) : 1, beta = gemm ? node.real("beta", 1) : 1;
    Tensor scale = row_constant(weight->scale, width);
    node.inputs = {x->numbers, numbers(*source, *weight, transpose)};
    node.inputs.push_back(
        add_weight(graph_, node.name + ".scale", alpha == 1 ? scale : scaled(scale, alpha)));
    if (c != kNoValue) {
      const Tensor bias = row_constant(graph_.constant(c), width);
      node.inputs.push_back(add_weight(graph_, node.name + ".bias", beta == 1 ? bias : scaled(bias, beta)));
    }
    node.op = Op::QuantizedLinear;
    node.attributes = {{"x_scale", x->scale}, {"x_zero_point", x->zero_point}};
    graph_.nodes[index] = std::move(node);
    return true;
  }

  // The matrix [K,N] as a constant of the graph: its own where it is laid out that way, else one copy for all
  // readers.
  ValueId numbers(const Node& source, const QuantizedWeight& weight, bool transpose) {
    const ValueId own = source.input(0);
    if (!transpose && graph_.value(own).dtype == DType::kI8) return own;
    const auto [made, is_new] = made_.try_emplace({own, transpose}, kNoValue);
    if (is_new)
      made->second = add_weight(graph_, graph_.value(own).name + ".matrix",
                                transpose ? transposed(weight.numbers) : weight.numbers);
    return made->second;
  }

  Graph& graph_;
  Matcher match_;
  std::map<std::pair<ValueId, bool>, ValueId> made_;
};

// The integers that stand for an operand of a product of two activations, at or above it where it is only
// laid out anew.
std::optional<ByteRange> operand_range(const Graph& graph, const Matcher& match, ValueId id) {
  for (const Node* node = match.producer(id); node && has_trait(node->op, kMovement);
       node = match.producer(id)) {
    if (node->op == Op::Concat || node->op == Op::Pad) return std::nullopt;
    id = node->input(0);
  }
  const auto activation = match_activation(graph, match, id);
  if (!activation) return std::nullopt;
  const bool is_signed = graph.value(activation->numbers).dtype == DType::kI8;
  return ByteRange{activation->scale, activation->zero_point + (is_signed ? 128 : 0)};
}

// Products of two quantized activations remember their integers as attributes; fuse_attention() takes them
// on.
void note_ranges(Graph& graph) {
  const Matcher match(graph);
  for (Node& node : graph.nodes) {
    if (node.op != Op::MatMul) continue;
    const auto left = operand_range(graph, match, node.input(0)),
               right = operand_range(graph, match, node.input(1));
    if (!left || !right) continue;
    set_byte_range(node, "left", *left);
    set_byte_range(node, "right", *right);
  }
}

// What is left of the weights that the folding spared.
void fold_weights(Graph& graph) {
  std::vector<bool> dead(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const auto weight = quantized_weight(graph, graph.nodes[i]);
    if (!weight) continue;
    graph.value(graph.nodes[i].outputs[0]).constant = dequantized(*weight);
    dead[i] = true;
  }
  remove_nodes(graph, dead);
}

bool same_constant(const Graph& graph, ValueId a, ValueId b) {
  if (a == b) return true;
  if (!graph.is_constant(a) || !graph.is_constant(b)) return false;
  const Tensor &left = graph.constant(a), &right = graph.constant(b);
  return left.dtype() == right.dtype() && left.count() == right.count() &&
         std::memcmp(left.data(), right.data(), left.bytes()) == 0;
}

// Whether the least number stands for 0: negative values saturate there. quantize_static takes a ReLU out
// where the quantization after it does the same.
bool clips_at_zero(const Graph& graph, const Node& dequantize) {
  const DType dtype = graph.value(dequantize.input(0)).dtype;
  const ValueId zero = dequantize.input(2);
  if (zero == kNoValue) return dtype == DType::kU8;
  if (!graph.is_constant(zero) || graph.constant(zero).count() != 1) return false;
  const Tensor& t = graph.constant(zero);
  return t.dtype() == DType::kU8 ? t.as<uint8_t>()[0] == 0
                                 : t.dtype() == DType::kI8 && t.as<int8_t>()[0] == INT8_MIN;
}

// Whether a value cannot be negative, as far as its maker shows.
bool is_non_negative(const Matcher& match, ValueId id) {
  const Node* node = match.producer(id);
  while (node && (node->op == Op::Reshape || node->op == Op::Transpose))
    node = match.producer(node->input(0));
  if (!node) return false;
  if (node->op == Op::Add) {  // the gate of a GELU, 1 + erf(…)
    const auto operand = match.constant_operand(*node);
    const Node* gate = operand ? match.producer(operand->second) : nullptr;
    return gate && (gate->op == Op::Erf || gate->op == Op::Tanh) && match.is_scalar(operand->first, 1.0);
  }
  return node->op == Op::Softmax || node->op == Op::Sigmoid || node->op == Op::Relu;
}

}  // namespace

int fuse_quantized(Graph& graph) {
  const int fused = Fuser(graph).run();
  note_ranges(graph);
  remove_dead_nodes(graph);
  fold_weights(graph);
  return fused;
}

int drop_fake_quantization(Graph& graph) {
  int dropped = 0;
  const Matcher match(graph);
  for (Node& node : graph.nodes) {
    if (node.op != Op::DequantizeLinear) continue;
    const Node* quantize = match.producer(node.input(0), Op::QuantizeLinear);
    if (!quantize || !same_constant(graph, quantize->input(1), node.input(1)) ||
        !same_constant(graph, quantize->input(2), node.input(2)) ||
        quantize->integer("axis", 1) != node.integer("axis", 1) ||
        graph.value(quantize->input(0)).dtype != graph.value(node.outputs[0]).dtype)
      continue;
    if (clips_at_zero(graph, node) && !is_non_negative(match, quantize->input(0))) {
      node.op = Op::Relu;
      node.inputs = {quantize->input(0)};
      node.attributes.clear();
      ++dropped;
    } else {
      dropped += replace_uses(graph, node.outputs[0], quantize->input(0));
    }
  }
  return dropped;
}

}  // namespace vitrail
