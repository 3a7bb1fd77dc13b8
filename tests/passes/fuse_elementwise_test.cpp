// SPDX-License-Identifier: Apache-2.0
#include "fusion.h"
#include "passes/fold_batch_norm.h"
#include "passes/fuse_gelu.h"
#include "passes/fuse_layer_norm.h"

namespace vitrail::testing {
namespace {

// x, its mean over `axis`, and the rest of layer normalisation as exporters below opset 17 write it.
GraphBuilder decomposed_layer_norm(int64_t axis, bool square_by_mul = false) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 5_d, 8_d});
  const ValueId mean = b.node(Op::ReduceMean, {x, b.ints({axis})});
  const ValueId d = b.node(Op::Sub, {x, mean});
  const ValueId square = square_by_mul ? b.node(Op::Mul, {d, d}) : b.node(Op::Pow, {d, b.real(2)});
  const ValueId variance = b.node(Op::ReduceMean, {square, b.ints({axis})});
  const ValueId root = b.node(Op::Sqrt, {b.node(Op::Add, {variance, b.real(1e-5f)})});
  const ValueId scaled = b.node(Op::Mul, {b.node(Op::Div, {d, root}), b.weight({8})});
  b.output(b.node(Op::Add, {b.weight({8}, 2), scaled}), "y");
  return b;
}

TEST(FuseLayerNorm, DecomposedFormBecomesOneNode) {
  for (bool by_mul : {false, true}) {
    const Graph fused = apply(decomposed_layer_norm(-1, by_mul).graph, fuse_layer_norm, 1);
    ASSERT_EQ(fused.nodes.size(), 1u);
    EXPECT_EQ(fused.nodes[0].op, Op::LayerNormalization);
    EXPECT_FLOAT_EQ(fused.nodes[0].real("epsilon", 0), 1e-5f);
  }
}

TEST(FuseLayerNorm, AnotherAxisIsLeftAlone) { apply(decomposed_layer_norm(1).graph, fuse_layer_norm, 0); }

TEST(FuseGelu, EveryOrderOfTheErfForm) {
  for (int order = 0; order < 3; ++order) {
    GraphBuilder b;
    const ValueId x = b.input("x", {kN, 6_d});
    const ValueId argument =
        order == 1 ? b.node(Op::Mul, {b.real(0.70710678f), x}) : b.node(Op::Div, {x, b.real(1.41421356f)});
    const ValueId gate = b.node(Op::Add, {b.node(Op::Erf, {argument}), b.real(1)});
    ValueId y;
    if (order == 0)
      y = b.node(Op::Mul, {b.node(Op::Mul, {x, gate}), b.real(0.5f)});
    else if (order == 1)
      y = b.node(Op::Mul, {x, b.node(Op::Mul, {gate, b.real(0.5f)})});
    else
      y = b.node(Op::Mul, {b.node(Op::Mul, {b.real(0.5f), x}), gate});
    b.output(y);
    const Graph fused = apply(b.graph, fuse_gelu, 1);
    ASSERT_EQ(fused.nodes.size(), 1u);
    EXPECT_EQ(fused.nodes[0].text("approximate", ""), "none");
  }
}

TEST(FuseGelu, TanhForm) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 6_d});
  const ValueId cube = b.node(Op::Pow, {x, b.real(3)});
  const ValueId inner = b.node(Op::Add, {x, b.node(Op::Mul, {cube, b.real(0.044715f)})});
  const ValueId tanh = b.node(Op::Tanh, {b.node(Op::Mul, {inner, b.real(0.7978845608f)})});
  b.output(b.node(Op::Mul, {b.node(Op::Mul, {x, b.real(0.5f)}), b.node(Op::Add, {tanh, b.real(1)})}));
  const Graph fused = apply(b.graph, fuse_gelu, 1);
  ASSERT_EQ(fused.nodes.size(), 1u);
  EXPECT_EQ(fused.nodes[0].text("approximate", ""), "tanh");
}

TEST(FuseGelu, QuickForm) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 6_d});
  b.output(b.node(Op::Mul, {x, b.node(Op::Sigmoid, {b.node(Op::Mul, {x, b.real(1.702f)})})}));
  EXPECT_EQ(apply(b.graph, fuse_gelu, 1).nodes[0].text("approximate", ""), "quick");
}

TEST(FuseGelu, OtherConstantsAndOtherGatesAreLeftAlone) {
  for (float half : {0.5f, 0.6f})
    for (bool same : {true, false}) {
      if (half == 0.5f && same) continue;
      GraphBuilder b;
      const ValueId x = b.input("x", {kN, 6_d});
      const ValueId z = same ? x : b.input("z", {kN, 6_d});
      const ValueId gate =
          b.node(Op::Add, {b.node(Op::Erf, {b.node(Op::Div, {z, b.real(1.41421356f)})}), b.real(1)});
      b.output(b.node(Op::Mul, {b.node(Op::Mul, {x, gate}), b.real(half)}));
      apply(b.graph, fuse_gelu, 0);
    }
}

GraphBuilder convolution_and_norm(Op op) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 3_d, 6_d, 6_d});
  const ValueId w = b.weight(op == Op::Conv ? Shape{4, 3, 3, 3} : Shape{3, 4, 3, 3});
  const ValueId y =
      b.node(op, {x, w, b.weight({4}, 3)}, {{"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}});
  Tensor variance = Tensor::f32({4}, {0.5f, 1, 2, 3});
  b.output(b.node(Op::BatchNormalization,
                  {y, b.weight({4}, 4), b.weight({4}, 5), b.weight({4}, 6), b.constant(variance)},
                  {{"epsilon", 1e-3f}}));
  return b;
}

TEST(FoldBatchNorm, MovesIntoTheWeightsOfBothKindsOfConvolution) {
  for (Op op : {Op::Conv, Op::ConvTranspose}) {
    const Graph folded = apply(convolution_and_norm(op).graph, fold_batch_norm, 1);
    ASSERT_EQ(folded.nodes.size(), 1u);
    EXPECT_EQ(folded.nodes[0].op, op);
  }
}

TEST(FoldBatchNorm, KeepsAConvolutionThatSomebodyElseReads) {
  GraphBuilder b = convolution_and_norm(Op::Conv);
  b.output(b.graph.nodes[0].outputs[0], "raw");
  apply(b.graph, fold_batch_norm, 0);
}

}  // namespace
}  // namespace vitrail::testing
