// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_linear.h"
#include "fusion.h"

namespace vitrail::testing {
namespace {

TEST(FuseLinear, MatMulAndBiasOnEitherSide) {
  for (bool bias_first : {false, true}) {
    GraphBuilder b;
    const ValueId x = b.input("x", {kN, 4_d, 6_d});
    const ValueId y = b.node(Op::MatMul, {x, b.weight({6, 5})});
    const ValueId bias = b.weight({5}, 2);
    b.output(b.node(Op::Add, bias_first ? std::vector{bias, y} : std::vector{y, bias}));
    const Graph fused = apply(b.graph, fuse_linear, 1);
    ASSERT_EQ(fused.nodes.size(), 1u);
    EXPECT_EQ(fused.nodes[0].inputs.size(), 3u);
  }
}

TEST(FuseLinear, GemmWithEveryAttribute) {
  for (int64_t transposed : {0, 1}) {
    GraphBuilder b;
    const ValueId x = b.input("x", {kN, 6_d});
    const ValueId w = b.weight(transposed ? Shape{5, 6} : Shape{6, 5});
    b.output(b.node(Op::Gemm, {x, w, b.weight({5}, 2)},
                    {{"transB", transposed}, {"alpha", 0.5f}, {"beta", 2.0f}}));
    const Graph fused = apply(b.graph, fuse_linear, 1);
    EXPECT_EQ(fused.nodes[0].op, Op::Linear);
  }
}

TEST(FuseLinear, ProductOfActivationsAndBiasThatIsNoRowStay) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 4_d, 6_d});
  const ValueId z = b.input("z", {kN, 6_d, 4_d});
  b.output(b.node(Op::MatMul, {x, z}));
  b.output(b.node(Op::Add, {b.node(Op::MatMul, {x, b.weight({6, 5})}), b.weight({4, 1}, 2)}));
  const Graph fused = apply(b.graph, fuse_linear, 1);
  EXPECT_EQ(count(fused, Op::MatMul), 1);
  EXPECT_EQ(count(fused, Op::Add), 1);
}

// Linear → scale, as layer scale is exported.
GraphBuilder scaled_linear(bool shared) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 4_d, 6_d});
  const ValueId y = b.node(Op::Linear, {x, b.weight({6, 5}), b.weight({5}, 2)});
  b.output(b.node(Op::Mul, {y, b.weight({5}, 3)}));
  if (shared) b.output(y, "unscaled");
  return b;
}

TEST(FoldLayerScale, MovesIntoWeightAndBias) {
  EXPECT_EQ(apply(scaled_linear(false).graph, fold_layer_scale, 1).nodes.size(), 1u);
  EXPECT_EQ(apply(scaled_linear(true).graph, fold_layer_scale, 0).nodes.size(), 2u);
}

TEST(FuseEpilogues, ActivationAndResidual) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 4_d, 6_d});
  const ValueId h = b.node(Op::Linear, {x, b.weight({6, 12}), b.weight({12}, 2)});
  const ValueId g = b.node(Op::Gelu, {h}, {{"approximate", std::string("tanh")}});
  const ValueId y = b.node(Op::Linear, {g, b.weight({12, 6}, 3)});
  b.output(b.node(Op::Add, {x, y}));
  const Graph fused = apply(b.graph, fuse_epilogues, 2);
  ASSERT_EQ(fused.nodes.size(), 2u);
  EXPECT_EQ(fused.nodes[0].text("activation", ""), "gelu_tanh");
  EXPECT_NE(fused.nodes[1].input(3), kNoValue);
}

TEST(FuseEpilogues, BroadcastResidualSecondReaderAndSelfAdditionStay) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 4_d, 6_d});
  const ValueId row = b.input("row", {kN, 1_d, 6_d});
  b.output(b.node(Op::Add, {row, b.node(Op::Linear, {x, b.weight({6, 6})})}));
  const ValueId read_twice = b.node(Op::Linear, {x, b.weight({6, 6}, 2)});
  b.output(b.node(Op::Relu, {read_twice}));
  b.output(b.node(Op::Tanh, {read_twice}));
  const ValueId doubled = b.node(Op::Linear, {x, b.weight({6, 6}, 3)});
  b.output(b.node(Op::Add, {doubled, doubled}));
  apply(b.graph, fuse_epilogues, 0);
}

}  // namespace
}  // namespace vitrail::testing
