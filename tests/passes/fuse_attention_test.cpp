// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_attention.h"
#include "fusion.h"
#include "passes/strided_view.h"

namespace vitrail::testing {
namespace {

constexpr int64_t kHeads = 2, kDim = 4, kTokens = 5, kWidth = kHeads * kDim;

ValueId reshape(GraphBuilder& b, ValueId x, const Ints& shape) {
  return b.node(Op::Reshape, {x, b.ints(shape)});
}

// softmax(q kᵀ · scale [+ mask]) v, merged back to [N, S, C]; kᵀ is given.
ValueId attention(GraphBuilder& b, ValueId q, ValueId kt, ValueId v, ValueId mask = kNoValue,
                  float scale = 0.5f) {
  ValueId scores = b.node(Op::Mul, {b.node(Op::MatMul, {q, kt}), b.real(scale)});
  if (mask != kNoValue) scores = b.node(Op::Add, {scores, mask});
  const ValueId p = b.node(Op::Softmax, {scores}, {{"axis", int64_t{-1}}});
  const ValueId merged = b.node(Op::Transpose, {b.node(Op::MatMul, {p, v})}, {{"perm", Ints{0, 2, 1, 3}}});
  return reshape(b, merged, {-1, kTokens, kWidth});
}

ValueId heads_first(GraphBuilder& b, ValueId x) {
  return b.node(Op::Transpose, {reshape(b, x, {-1, kTokens, kHeads, kDim})}, {{"perm", Ints{0, 2, 1, 3}}});
}
ValueId transposed(GraphBuilder& b, ValueId x) {
  return b.node(Op::Transpose, {x}, {{"perm", Ints{0, 1, 3, 2}}});
}

// timm: one projection, [N,S,3,H,D] → [3,N,H,S,D], then Gather or Split + Squeeze.
GraphBuilder packed(bool by_split, bool scale_operands = false) {
  GraphBuilder b;
  const ValueId qkv = b.input("qkv", {kN, 5_d, 24_d});
  const ValueId t = b.node(Op::Transpose, {reshape(b, qkv, {-1, kTokens, 3, kHeads, kDim})},
                           {{"perm", Ints{2, 0, 3, 1, 4}}});
  std::vector<ValueId> parts;
  if (by_split) {
    for (ValueId p : b.nodes(Op::Split, {t, b.ints({1, 1, 1})}, 3, {{"axis", int64_t{0}}}))
      parts.push_back(b.node(Op::Squeeze, {p, b.ints({0})}));
  } else {
    for (int64_t i = 0; i < 3; ++i)
      parts.push_back(b.node(Op::Gather, {t, b.integer(i)}, {{"axis", int64_t{0}}}));
  }
  ValueId q = parts[0], kt = transposed(b, parts[1]);
  if (scale_operands) {
    q = b.node(Op::Mul, {q, b.real(0.7f)});
    kt = b.node(Op::Mul, {kt, b.real(0.6f)});
  }
  b.output(attention(b, q, kt, parts[2]), "y");
  return b;
}

const Node& the_attention(const Graph& graph) {
  const Node* node = find(graph, Op::MultiHeadAttention);
  EXPECT_NE(node, nullptr) << print_graph(graph);
  return *node;
}

TEST(FuseAttention, PackedProjectionIsReadInPlace) {
  for (bool by_split : {false, true}) {
    const Graph fused = apply(packed(by_split).graph, fuse_attention, 1);
    ASSERT_EQ(fused.nodes.size(), 1u) << print_graph(fused);
    EXPECT_EQ(the_attention(fused).integer("heads", 0), kHeads);
    EXPECT_EQ(the_attention(fused).integer("k_offset", 0), kWidth);
    EXPECT_EQ(the_attention(fused).integer("v_offset", 0), 2 * kWidth);
  }
}

TEST(FuseAttention, ScalesOfTheOperandsJoinTheSoftmax) {
  const Graph fused = apply(packed(true, true).graph, fuse_attention, 1);
  EXPECT_FLOAT_EQ(the_attention(fused).real("scale", 0), 0.5f * 0.7f * 0.6f);
}

// softmax guarded against NaN, as the dynamo exporter writes it, with a mask of one row for each query.
GraphBuilder guarded(const std::vector<float>& last_row_of_the_mask) {
  GraphBuilder b;
  const ValueId q = b.input("q", {kN, 5_d, 8_d}), k = b.input("k", {kN, 5_d, 8_d}),
                v = b.input("v", {kN, 5_d, 8_d});
  std::vector<float> mask(25, 0.25f);
  std::copy(last_row_of_the_mask.begin(), last_row_of_the_mask.end(), mask.begin() + 20);
  const ValueId scores =
      b.node(Op::Add, {b.node(Op::MatMul, {heads_first(b, q), transposed(b, heads_first(b, k))}),
                       b.constant(Tensor::f32({5, 5}, mask))});
  const ValueId p = b.node(Op::Softmax, {scores}, {{"axis", int64_t{-1}}});
  const ValueId safe = b.node(Op::Where, {b.node(Op::IsNaN, {p}), b.real(0), p});
  const ValueId merged =
      b.node(Op::Transpose, {b.node(Op::MatMul, {safe, heads_first(b, v)})}, {{"perm", Ints{0, 2, 1, 3}}});
  b.output(reshape(b, merged, {-1, kTokens, kWidth}), "y");
  return b;
}

TEST(FuseAttention, GuardAgainstNaNGoesWhereEveryQuerySeesAKey) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  apply(guarded({0, kNever, kNever, kNever, kNever}).graph, fuse_attention, 1);
  const Graph kept = apply(guarded({kNever, kNever, kNever, kNever, kNever}).graph, fuse_attention, 0);
  EXPECT_NE(find(kept, Op::IsNaN), nullptr);
}

TEST(FuseAttention, SeparateProjectionsAndMask) {
  GraphBuilder b;
  const ValueId q = b.input("q", {kN, 5_d, 8_d}), k = b.input("k", {kN, 5_d, 8_d}),
                v = b.input("v", {kN, 5_d, 8_d});
  const ValueId mask = b.input("mask", {kN, 1_d, 5_d, 5_d});
  b.output(attention(b, heads_first(b, q), transposed(b, heads_first(b, k)), heads_first(b, v), mask));
  const Graph fused = apply(b.graph, fuse_attention, 1);
  ASSERT_EQ(fused.nodes.size(), 1u);
  EXPECT_EQ(the_attention(fused).inputs.size(), 4u);
}

TEST(FuseAttention, OperandsInAnotherLayoutAreLaidOutFirst) {
  GraphBuilder b;
  const ValueId qkv = b.input("qkv", {kN, 5_d, 8_d});
  // Normalised per head (as with qk_norm): no view of a [N, S, C] value any more.
  const ValueId q =
      b.node(Op::LayerNormalization, {heads_first(b, qkv), b.weight({kDim})}, {{"axis", int64_t{-1}}});
  const ValueId k =
      b.node(Op::LayerNormalization, {heads_first(b, qkv), b.weight({kDim}, 2)}, {{"axis", int64_t{-1}}});
  const ValueId v = b.node(Op::Mul, {heads_first(b, qkv), b.real(3)});
  b.output(attention(b, q, transposed(b, k), v));
  const Graph fused = apply(b.graph, fuse_attention, 1);
  EXPECT_EQ(count(fused, Op::Softmax), 0);
}

TEST(FuseAttention, SoftmaxOverQueriesIsAnotherThing) {
  GraphBuilder b = packed(false);
  for (Node& node : b.graph.nodes)
    if (node.op == Op::Softmax) node.attributes["axis"] = int64_t{2};
  apply(b.graph, fuse_attention, 0);
}

TEST(MergeQkv, ThreeProjectionsBecomeOne) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 5_d, 6_d});
  std::vector<ValueId> parts;
  for (int i = 0; i < 3; ++i) {
    std::vector<ValueId> inputs{x, b.weight({6, kWidth}, static_cast<float>(i))};
    if (i != 1) inputs.push_back(b.weight({kWidth}, static_cast<float>(10 + i)));  // BEiT's key has no bias
    parts.push_back(b.node(Op::Linear, inputs));
  }
  b.output(b.node(Op::MultiHeadAttention, parts, {{"heads", kHeads}, {"head_dim", kDim}, {"scale", 0.5f}}));
  const Graph fused = apply(b.graph, merge_qkv, 1);
  EXPECT_EQ(count(fused, Op::Linear), 1);
}

TEST(MergeQkv, ProjectionsOfDifferentInputsStay) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 5_d, 6_d}), z = b.input("z", {kN, 5_d, 6_d});
  const ValueId q = b.node(Op::Linear, {x, b.weight({6, kWidth})});
  const ValueId k = b.node(Op::Linear, {z, b.weight({6, kWidth}, 2)});
  const ValueId v = b.node(Op::Linear, {z, b.weight({6, kWidth}, 3)});
  b.output(
      b.node(Op::MultiHeadAttention, {q, k, v}, {{"heads", kHeads}, {"head_dim", kDim}, {"scale", 0.5f}}));
  apply(b.graph, merge_qkv, 0);
}

TEST(StridedView, ReshapeThatMixesAxesStartsAnew) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 4_d, 6_d});
  const ValueId t = b.node(Op::Transpose, {x}, {{"perm", Ints{0, 2, 1}}});
  const ValueId mixed = reshape(b, t, {-1, 8, 3});  // [N,6,4] read in another order: needs a copy
  b.output(mixed);
  ASSERT_TRUE(infer_shapes(b.graph).ok());
  const Matcher match(b.graph);
  const auto view = trace_view(b.graph, match, mixed);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->source, mixed);
  const auto through = trace_view(b.graph, match, t);
  EXPECT_EQ(through->source, x);
  EXPECT_EQ(through->strides, (std::vector<int64_t>{24, 1, 6}));
}

}  // namespace
}  // namespace vitrail::testing
