// SPDX-License-Identifier: Apache-2.0
#include "passes/unfused.h"

#include "fusion.h"

namespace vitrail::testing {
namespace {

using ::testing::HasSubstr;

struct Unfusing : ::testing::Test {
  GraphBuilder b;
  ValueId q = b.input("q", {kN, 2_d, 5_d, 8_d}), k = b.input("k", {kN, 2_d, 8_d, 5_d}), v = b.input("v", {kN, 2_d, 5_d, 8_d});

  std::vector<Unfused> found() {
    b.output(b.graph.nodes.back().outputs[0]);
    EXPECT_TRUE(infer_shapes(b.graph).ok());
    return find_unfused(b.graph);
  }
  ValueId merged(ValueId weights) {
    return b.node(Op::Transpose, {b.node(Op::MatMul, {weights, v})}, {{"perm", Ints{0, 2, 1, 3}}});
  }
};

TEST_F(Unfusing, AttentionWithAStepThatIsNotKnown) {
  const ValueId scores = b.node(Op::Relu, {b.node(Op::MatMul, {q, k})}, {});
  merged(b.node(Op::Softmax, {b.node(Op::Mul, {scores, b.real(0.5f)})}, {}, "weights"));
  const auto list = found();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].part, "attention");
  EXPECT_EQ(list[0].name, "weights");
  EXPECT_THAT(list[0].reason, HasSubstr("Relu stands between"));
}

TEST_F(Unfusing, AttentionWhoseHeadsAreNotMerged) {
  b.node(Op::MatMul, {b.node(Op::Softmax, {b.node(Op::MatMul, {q, k})}), v});
  const auto list = found();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_THAT(list[0].reason, HasSubstr("not put side by side"));
}

TEST_F(Unfusing, NormalisationsAndGelu) {
  const ValueId x = b.input("x", {kN, 5_d, 8_d});
  const ValueId squares = b.node(Op::ReduceMean, {b.node(Op::Mul, {x, x}), b.ints({-1})});
  const ValueId rms = b.node(Op::Div, {x, b.node(Op::Sqrt, {b.node(Op::Add, {squares, b.real(1e-6f)})})});
  const ValueId centred = b.node(Op::Sub, {rms, b.node(Op::ReduceMean, {rms, b.ints({2})})});
  b.node(Op::Erf, {centred});
  const auto list = found();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_THAT(list[0].reason, HasSubstr("RMS"));
  EXPECT_EQ(list[1].part, "normalisation");
  EXPECT_EQ(list[2].part, "GELU");
}

TEST_F(Unfusing, ASoftmaxThatIsNoAttentionIsNoneOfThem) {
  b.node(Op::Softmax, {b.input("x", {kN, 10_d})});
  EXPECT_TRUE(found().empty());
}

}  // namespace
}  // namespace vitrail::testing
