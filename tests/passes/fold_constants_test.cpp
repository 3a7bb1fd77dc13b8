// SPDX-License-Identifier: Apache-2.0
#include "passes/fold_constants.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/reference/evaluate.h"
#include "core/error.h"
#include "graph_builder.h"

namespace vitrail::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FoldConstants : public ::testing::Test {
 protected:
  GraphBuilder b;
  ValueId x = b.input("x", {kN, 3_d, 4_d});
  int evaluations = 0;

  Status fold() {
    return fold_constants(b.graph, [&](const Node& node, std::span<const Tensor* const> inputs) {
      ++evaluations;
      return evaluate_node(node, inputs);
    });
  }
  void expect_folded() {
    if (Status s = fold(); !s.ok()) FAIL() << s.message();
    if (Status s = verify_graph(b.graph); !s.ok()) FAIL() << s.message();
  }
};

TEST_F(FoldConstants, WeightsAreTransposedOnce) {
  const ValueId w = b.constant(Tensor::f32({2, 4}, {0, 1, 2, 3, 4, 5, 6, 7}));
  const ValueId t = b.node(Op::Transpose, {w}, {{"perm", Ints{1, 0}}});
  b.output(b.node(Op::MatMul, {x, t}));
  expect_folded();
  ASSERT_EQ(b.graph.nodes.size(), 1u);
  EXPECT_EQ(b.graph.nodes[0].op, Op::MatMul);
  ASSERT_TRUE(b.graph.is_constant(t));
  EXPECT_THAT(b.graph.constant(t).as<float>(), ElementsAre(0, 4, 1, 5, 2, 6, 3, 7));
  EXPECT_FALSE(b.graph.is_constant(w)) << "operands that nobody reads keep their memory";
}

TEST_F(FoldConstants, IntegerWeightsOfIntegerProductsStay) {
  const ValueId q = b.input("q", {kN, 4_d}, DType::kI8), scale = b.real(0.5f);
  const ValueId numbers = b.constant(Tensor(DType::kI8, {4, 4}));
  const auto dequantized = [&] { return b.node(Op::DequantizeLinear, {numbers, scale}); };
  const ValueId kept = dequantized(), transposed = b.node(Op::Transpose, {dequantized()});
  const ValueId of_floats = dequantized(), twice = dequantized();
  const ValueId left = b.node(Op::DequantizeLinear, {q, scale});
  b.output(b.node(Op::MatMul, {left, kept}));
  b.output(b.node(Op::Gemm, {left, transposed}));
  b.output(b.node(Op::MatMul, {x, of_floats}));
  b.output(b.node(Op::MatMul, {left, twice}));
  b.output(b.node(Op::Relu, {twice}));
  expect_folded();
  EXPECT_FALSE(b.graph.is_constant(kept));
  EXPECT_FALSE(b.graph.is_constant(transposed));
  EXPECT_TRUE(b.graph.is_constant(of_floats));
  EXPECT_TRUE(b.graph.is_constant(twice));
}

TEST_F(FoldConstants, ASharedOperandSurvives) {
  const ValueId w = b.weight({4, 4});
  b.output(b.node(Op::MatMul, {b.node(Op::MatMul, {x, b.node(Op::Transpose, {w})}), w}));
  expect_folded();
  EXPECT_EQ(count(b.graph, Op::MatMul), 2);
  EXPECT_TRUE(b.graph.is_constant(w));
}

TEST_F(FoldConstants, FixedShapeArithmeticNeedsNoEvaluation) {
  const ValueId dims = b.node(Op::Shape, {x}, {{"start", 1}});
  const ValueId target = b.node(Op::Concat, {b.ints({-1}), dims}, {{"axis", 0}});
  const ValueId y = b.node(Op::Reshape, {x, target});
  b.output(y);
  expect_folded();
  EXPECT_EQ(evaluations, 0);
  ASSERT_EQ(b.graph.nodes.size(), 1u);
  EXPECT_THAT(b.graph.constant(target).as<int64_t>(), ElementsAre(-1, 3, 4));
  EXPECT_EQ(to_string(*b.graph.value(y).shape), "[N,3,4]");
}

TEST_F(FoldConstants, WhatDependsOnTheBatchStays) {
  const ValueId dims = b.node(Op::Shape, {x});
  b.output(b.node(Op::Expand, {b.weight({1, 3, 4}), dims}));
  expect_folded();
  EXPECT_EQ(b.graph.nodes.size(), 2u);
  EXPECT_FALSE(b.graph.is_constant(dims));
}

// Position embeddings resized as TorchScript writes it: sizes through float arithmetic.
TEST_F(FoldConstants, FloatShapeArithmeticUnlocksLaterShapes) {
  const ValueId image = b.input("image", {kN, 3_d, 28_d, 42_d});
  const ValueId size = b.node(Op::Cast, {b.node(Op::Shape, {image}, {{"start", 2}})}, {{"to", 1}});
  const ValueId half = b.node(Op::Floor, {b.node(Op::Mul, {size, b.constant(Tensor::f32({1}, {0.25f}))})});
  const ValueId sizes = b.node(Op::Cast, {half}, {{"to", 7}});
  const ValueId all = b.node(Op::Concat, {b.ints({1, 3}), sizes}, {{"axis", 0}});
  const ValueId y =
      b.node(Op::Add, {image, b.node(Op::ReduceSum, {b.node(Op::Expand, {b.weight({1, 3, 1, 1}), all})})});
  b.output(y);
  expect_folded();
  EXPECT_EQ(count(b.graph, Op::Add), 1);
  EXPECT_EQ(b.graph.nodes.size(), 1u);
  EXPECT_EQ(to_string(*b.graph.value(y).shape), "[N,3,28,42]");
}

TEST_F(FoldConstants, BoolsAndInt32AreMadeFromIntegers) {
  const ValueId dims = b.node(Op::Shape, {x}, {{"start", 1}});
  const ValueId is_three = b.node(Op::Equal, {dims, b.ints({3})});
  const ValueId narrow = b.node(Op::Cast, {dims}, {{"to", 6}});
  b.output(is_three);
  b.output(narrow);
  expect_folded();
  EXPECT_TRUE(b.graph.nodes.empty());
  EXPECT_THAT(b.graph.constant(is_three).as<bool>(), ElementsAre(true, false));
  EXPECT_THAT(b.graph.constant(narrow).as<int32_t>(), ElementsAre(3, 4));
}

TEST_F(FoldConstants, AGraphOutputMayBecomeAConstant) {
  const ValueId y = b.node(Op::Neg, {b.constant(Tensor::f32({2}, {1, -2}))});
  b.output(y, "constant_output");
  expect_folded();
  EXPECT_TRUE(b.graph.nodes.empty());
  EXPECT_EQ(b.graph.outputs, std::vector<ValueId>{y});
  EXPECT_THAT(b.graph.constant(y).as<float>(), ElementsAre(-1, 2));
}

TEST_F(FoldConstants, EveryOutputOfASplitIsFolded) {
  const auto parts = b.nodes(Op::Split, {b.constant(Tensor::f32({4}, {1, 2, 3, 4})), b.ints({1, 3})}, 2);
  b.output(parts[1]);
  expect_folded();
  EXPECT_THAT(b.graph.constant(parts[1]).as<float>(), ElementsAre(2, 3, 4));
}

TEST_F(FoldConstants, InflationIsLeftForTheRun) {
  const ValueId big = b.node(Op::Expand, {b.real(1), b.ints({1024, 1024, 100})});  // 400 MiB from 4 bytes
  b.output(b.node(Op::ReduceSum, {big}, {{"keepdims", 0}}));
  expect_folded();
  EXPECT_EQ(evaluations, 0);
  EXPECT_EQ(b.graph.nodes.size(), 2u);
}

TEST_F(FoldConstants, InflationIsCountedOverTheWholeGraph) {
  for (int i = 0; i < 4; ++i)
    b.output(b.node(Op::Expand, {b.real(1), b.ints({1024, 1024, 25})}));  // 100 MiB each
  expect_folded();
  EXPECT_EQ(count(b.graph, Op::Expand), 2);
}

TEST_F(FoldConstants, ErrorsOfTheEvaluatorNameTheLayer) {
  // An index of rank 2 is not looked at by shape inference, but is out of range.
  b.output(b.node(Op::Gather, {b.weight({3, 2}), b.constant(Tensor::i64({1, 1}, {7}))}, {}, "lookup"));
  EXPECT_THAT(fold().message(), HasSubstr("lookup"));
}

TEST_F(FoldConstants, AnEvaluatorThatDisagreesIsFoundOut) {
  b.output(b.node(Op::Neg, {b.weight({3})}, {}, "layer"));
  const Status s = fold_constants(b.graph, [](const Node&, std::span<const Tensor* const>) {
    return Result<std::vector<Tensor>>(std::vector<Tensor>{Tensor::f32({4}, {})});
  });
  EXPECT_EQ(s.code(), Code::kInternal);
  EXPECT_THAT(s.message(), HasSubstr("float32[4], but float32[3]"));
}

TEST_F(FoldConstants, WhatDoesNotFitIntoMemoryStays) {
  b.output(b.node(Op::Neg, {b.weight({3})}));
  const Status s = fold_constants(b.graph, [](const Node&, std::span<const Tensor* const>) {
    return Result<std::vector<Tensor>>(resource_error("no memory"));
  });
  EXPECT_TRUE(s.ok());
  EXPECT_EQ(b.graph.nodes.size(), 1u);
}

}  // namespace
}  // namespace vitrail::testing
