// SPDX-License-Identifier: Apache-2.0
// Matrix products, convolutions and attention.
#include <algorithm>
#include <cmath>

#include "backends/tensorrt/module/inspect.h"
#include "backends/tensorrt/module/layers.h"

namespace vitrail::tensorrt {
namespace {

using Binary = nv::ElementWiseOperation;

std::vector<int64_t> integers_or(const Node& node, std::string_view attribute,
                                 std::vector<int64_t> fallback) {
  std::vector<int64_t> v = node.integers(attribute);
  return v.empty() ? fallback : v;
}

// Pads as ONNX counts them: all in front, then all behind. SAME as well.
bool set_padding(Network& n, auto& layer) {
  const size_t spatial = n.input_shape(0).size() - 2;
  const std::string automatic = n.node().text("auto_pad", "NOTSET");
  if (automatic == "SAME_UPPER") {
    layer.setPaddingMode(nv::PaddingMode::kSAME_UPPER);
  } else if (automatic == "SAME_LOWER") {
    layer.setPaddingMode(nv::PaddingMode::kSAME_LOWER);
  } else {
    const auto pads = integers_or(n.node(), "pads", std::vector<int64_t>(2 * spatial));
    if (pads.size() != 2 * spatial) return false;
    layer.setPrePadding(dims(Shape(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(spatial))));
    layer.setPostPadding(dims(Shape(pads.begin() + static_cast<std::ptrdiff_t>(spatial), pads.end())));
    if (n.node().integer("ceil_mode", 0) != 0) layer.setPaddingMode(nv::PaddingMode::kEXPLICIT_ROUND_UP);
  }
  return true;
}

nv::ITensor* biased(Network& n, nv::ITensor* y, size_t bias) {
  return n.has(bias) ? n.binary(y, n.in(bias), Binary::kSUM) : y;
}

// As rows; null where that is not how the network works or the product is another.
nv::ITensor* linear_of_rows(Network& n) {
  const ValueId w = n.node().input(1), b = n.node().input(2);
  if (!n.works_on_rows()) return nullptr;
  if (!n.graph().is_constant(w) || n.graph().constant(w).rank() != 2 ||
      (b != kNoValue && (!n.graph().is_constant(b) || n.graph().constant(b).count() != n.graph().constant(w).dim(1))))
    return nullptr;
  nv::ITensor* rows = n.rows(0);
  const auto columns = static_cast<Extent>(n.graph().constant(w).dim(1));
  nv::ITensor* y = rows ? n.row_product(rows, columns, n.transposed_weights(w), nullptr, n.weights(b)) : nullptr;
  return row_activation(n, y);
}

// Head h of a source is its columns offset + h·dim …: as [B, heads, S, dim].
nv::ITensor* heads_of(Network& n, size_t input, std::string_view offset, int64_t heads, int64_t dim) {
  nv::ITensor* x = n.in(input);
  SymShape shape = n.input_shape(input);
  const int64_t first = n.node().integer(offset, 0), columns = shape[2].fixed;
  const bool whole = first % dim == 0 && columns % dim == 0;
  if (!whole) {  // cut first, since the source is no row of heads
    shape[2] = Dim::of(heads * dim);
    x = n.slice(x, {0, 0, first}, shape, {1, 1, 1});
  }
  const int64_t all = shape[2].fixed / dim;
  x = n.reshape(x, {shape[0], shape[1], Dim::of(all), Dim::of(dim)});
  constexpr int64_t kOrder[] = {0, 2, 1, 3};
  if (whole && all != heads)
    x = n.slice(x, {0, 0, first / dim, 0}, {shape[0], shape[1], Dim::of(heads), Dim::of(dim)}, {1, 1, 1, 1});
  return n.transpose(x, kOrder);
}

// Vitrail's kernel reads the heads where they lie. False where it is not asked for or does not fit.
bool set_attention_plugin(Network& n, int64_t heads, int64_t dim, int64_t dv, float scale) {
  if (!n.plugins().attention || n.has(3)) return false;
  AttentionNumbers numbers{heads, dim, dv, 0, 0, 0, scale};
  numbers.q_offset = n.node().integer("q_offset", 0);
  numbers.k_offset = n.node().integer("k_offset", 0);
  numbers.v_offset = n.node().integer("v_offset", 0);
  for (size_t i = 0; i < 3; ++i)
    if (n.input_shape(i).size() != 3 || !n.input_shape(i)[1].is_fixed()) return false;
  const auto row = [&](size_t i) { return n.input_shape(i)[2].fixed; };
  const auto tokens = [&](size_t i) { return n.input_shape(i)[1]; };
  if (!refuse_attention_plugin(numbers, row(0), row(1), row(2)).empty()) return false;
  if (n.works_on_rows() && tokens(0) == tokens(1) && tokens(0) == tokens(2)) {
    numbers.tokens = tokens(0).fixed;
    nv::ITensor* const sources[] = {n.rows(0), n.rows(1), n.rows(2)};
    n.set_rows(0, n.out(add_plugin(n.raw(), kAttentionPlugin, numbers.packed(), sources)));
  } else {
    nv::ITensor* const sources[] = {n.in(0), n.in(1), n.in(2)};
    n.set(0, n.out(add_plugin(n.raw(), kAttentionPlugin, numbers.packed(), sources)));
  }
  return true;
}

}  // namespace

nv::ITensor* row_activation(Network& n, nv::ITensor* rows) {
  const std::string name = n.node().text("activation", "");
  const bool fuses = n.reader(n.node().outputs[0], Op::QuantizeLinear);
  if (!rows || !n.plugins().gelu || fuses || (name != "gelu" && name != "gelu_tanh")) return n.activation(rows, name);
  return n.out(add_plugin(n.raw(), kGeluPlugin, gelu_numbers(name == "gelu_tanh"), std::span(&rows, 1)));
}

void emit_linear(Network& n) {
  if (nv::ITensor* rows = linear_of_rows(n)) return set_sum(n, rows, 3, true);
  const int rank = static_cast<int>(n.input_shape(0).size());
  nv::ITensor *x = n.in(0), *w = n.in(1, rank);
  if (n.precision().fp8) {
    x = n.through_fp8(x, n.node().input(0));
    w = n.through_fp8(w, n.node().input(1));
  }
  set_sum(n, n.activation(biased(n, n.matmul(x, w), 2), n.node().text("activation", "")), 3);
}

void emit_matmul(Network& n) {
  if (n.input_shape(0).size() < 2 || n.input_shape(1).size() < 2)
    return void(n.refuse("one of its operands is a vector"));
  n.set(0, n.matmul(n.in(0), n.in(1)));
}

void emit_gemm(Network& n) {
  nv::ITensor* y =
      n.matmul(n.in(0), n.in(1), n.node().integer("transA", 0) != 0, n.node().integer("transB", 0) != 0);
  const float alpha = n.node().real("alpha", 1), beta = n.node().real("beta", 1);
  if (alpha != 1) y = n.binary(y, n.scalar(alpha, y), Binary::kPROD);
  if (n.has(2)) {
    nv::ITensor* c = n.in(2);
    if (beta != 1) c = n.binary(c, n.scalar(beta, c), Binary::kPROD);
    y = n.binary(y, c, Binary::kSUM);
  }
  n.set(0, y);
}

void emit_conv(Network& n) {
  nv::ITensor* x = n.in(0);
  const ValueId w = n.node().input(1), b = n.node().input(2);
  if (!n.graph().is_constant(w) || (b != kNoValue && !n.graph().is_constant(b)))
    return void(n.refuse("its weights are not constant"));
  const Shape& shape = n.graph().constant(w).shape();
  const size_t spatial = shape.size() - 2;
  if (!x || spatial < 2) return void(n.refuse("TensorRT has convolutions of two and three axes"));
  const Shape kernel(shape.begin() + 2, shape.end());
  nv::IConvolutionLayer* layer =
      n.raw().addConvolutionNd(*x, static_cast<Extent>(shape[0]), dims(kernel), n.weights(w), n.weights(b));
  if (!layer || !set_padding(n, *layer)) return;
  n.name_layer_weights();
  layer->setStrideNd(dims(integers_or(n.node(), "strides", std::vector<int64_t>(spatial, 1))));
  layer->setDilationNd(dims(integers_or(n.node(), "dilations", std::vector<int64_t>(spatial, 1))));
  layer->setNbGroups(static_cast<Extent>(n.node().integer("group", 1)));
  n.set(0, n.out(layer));
}

void emit_pool(Network& n) {
  nv::ITensor* x = n.in(0);
  const bool average = n.node().op == Op::AveragePool;
  const std::vector<int64_t> window = n.node().integers("kernel_shape");
  if (!x || window.size() < 2 || !n.node().integers("dilations").empty())
    return void(n.refuse("TensorRT pools over two or three axes, without dilation"));
  nv::IPoolingLayer* layer =
      n.raw().addPoolingNd(*x, average ? nv::PoolingType::kAVERAGE : nv::PoolingType::kMAX, dims(window));
  if (!layer || !set_padding(n, *layer)) return;
  layer->setStrideNd(dims(integers_or(n.node(), "strides", std::vector<int64_t>(window.size(), 1))));
  if (average) layer->setAverageCountExcludesPadding(n.node().integer("count_include_pad", 0) == 0);
  n.set(0, n.out(layer));
}

void emit_patch_embed(Network& n) {
  const ValueId w = n.node().input(1), b = n.node().input(2);
  if (!n.graph().is_constant(w) || (b != kNoValue && !n.graph().is_constant(b)) ||
      (n.has(3) && !n.graph().is_constant(n.node().input(3))))
    return void(n.refuse("its weights are not constant"));
  const Shape& shape = n.graph().constant(w).shape();
  nv::ITensor* x = n.in(0);
  nv::IConvolutionLayer* conv =
      x ? n.raw().addConvolutionNd(*x, static_cast<Extent>(shape[0]), dims({shape[2], shape[3]}),
                                   n.weights(w), n.weights(b))
        : nullptr;
  if (!conv) return;
  n.name_layer_weights();
  conv->setStrideNd(dims({shape[2], shape[3]}));
  nv::ITensor* y = n.out(conv);
  const SymShape result = n.output_shape();  // [B, prefix + P, OC]
  const int64_t prefix = n.node().integer("prefix", 0), patches = result[1].fixed - prefix;
  y = n.reshape(y, {result[0], result[2], Dim::of(patches)});
  constexpr int64_t kOrder[] = {0, 2, 1};
  y = n.transpose(y, kOrder);
  if (prefix > 0) {
    // The rows in front are the table's alone: they begin as zeros.
    const std::vector<float> zeros(static_cast<size_t>(prefix * shape[0]));
    nv::ITensor* front = n.floats({1, prefix, shape[0]}, zeros, n.compute());
    front = n.slice(front, {0, 0, 0}, {result[0], Dim::of(prefix), result[2]}, {0, 1, 1});
    nv::ITensor* parts[] = {front, y};
    y = n.concat(parts, 1);
  }
  set_sum(n, y, 3);
}

void emit_attention(Network& n) {
  const int64_t heads = n.node().integer("heads", 1), dim = n.node().integer("head_dim", 0);
  const int64_t dv = n.node().integer("v_head_dim", dim);
  const float scale = n.node().real("scale", 1.0f / std::sqrt(static_cast<float>(dim)));
  if (set_attention_plugin(n, heads, dim, dv, scale)) return;
  nv::ITensor* q = heads_of(n, 0, "q_offset", heads, dim);
  nv::ITensor* k = heads_of(n, 1, "k_offset", heads, dim);
  nv::ITensor* v = heads_of(n, 2, "v_offset", heads, dv);
  q = n.binary(q, n.scalar(scale, q), Binary::kPROD);
  nv::ITensor* mask = n.has(3) ? n.in(3, 4) : nullptr;
  if (!q || !k || !v || (n.has(3) && !mask)) return;
  nv::ITensor* y = nullptr;
  if (kHasAttention && !n.precision().weak) {  // weakly typed: where TensorRT 10 calibrates
    y = add_attention(n.raw(), *q, *k, *v, mask, n.next_name(), origin_mark(n.node().name));
  } else {
    nv::ITensor* scores = n.matmul(q, k, false, true);
    if (mask) scores = n.binary(scores, mask, Binary::kSUM);
    y = n.matmul(n.softmax(scores, 3), v);
  }
  constexpr int64_t kOrder[] = {0, 2, 1, 3};
  n.set(0, n.reshape(n.transpose(y, kOrder), n.output_shape()));
}

}  // namespace vitrail::tensorrt
