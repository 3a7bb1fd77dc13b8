// SPDX-License-Identifier: Apache-2.0
#include "passes/batch_first.h"

#include "fusion.h"

namespace vitrail::testing {
namespace {

struct BatchFirst : ::testing::Test {
  GraphBuilder b;

  ValueId swapped(ValueId x) { return b.node(Op::Transpose, {x}, {{"perm", Ints{1, 0, 2}}}); }
  std::vector<Op> operators(const Graph& graph) {
    std::vector<Op> ops;
    for (const Node& node : graph.nodes) ops.push_back(node.op);
    return ops;
  }
};

TEST_F(BatchFirst, ASwapInFrontOfAProjectionMovesBehindIt) {
  const ValueId x = b.input("x", {kN, 5_d, 8_d});
  const ValueId qkv = b.node(Op::Linear, {swapped(x), b.weight({8, 24}), b.weight({24}, 2)});
  b.output(b.node(Op::Relu, {qkv}), "y");
  EXPECT_THAT(operators(apply(b.graph, batch_first, 1)), ::testing::ElementsAre(Op::Linear, Op::Transpose, Op::Relu));
}

TEST_F(BatchFirst, ASwapBehindAProjectionMovesToTheAttentionsMerge) {
  const ValueId heads = b.node(Op::Transpose, {b.input("x", {kN, 2_d, 5_d, 4_d})}, {{"perm", Ints{2, 0, 1, 3}}});
  const ValueId rows = b.node(Op::Reshape, {heads, b.ints({-1, 8})});
  const ValueId made = b.node(Op::Linear, {rows, b.weight({8, 6}), b.weight({6}, 2)}, {{"activation", std::string("gelu")}});
  b.output(swapped(b.node(Op::Reshape, {made, b.ints({5, -1, 6})})), "y");
  const Graph graph = apply(b.graph, batch_first, 1);
  ASSERT_THAT(operators(graph), ::testing::ElementsAre(Op::Transpose, Op::Reshape, Op::Linear));
  EXPECT_EQ(graph.nodes[0].integers("perm"), (Ints{0, 2, 1, 3}));
}

TEST_F(BatchFirst, ProjectionsInARow) {
  const ValueId x = b.input("x", {kN, 5_d, 8_d});
  const ValueId first = b.node(Op::Linear, {swapped(x), b.weight({8, 6})});
  const ValueId second = b.node(Op::Linear, {first, b.weight({6, 4})});
  b.output(swapped(second), "y");
  apply(b.graph, batch_first, 2);
}

TEST_F(BatchFirst, WhatIsReadElsewhereOrHasAResidualStays) {
  const ValueId x = b.input("x", {5_d, kN, 8_d});
  const ValueId read = b.node(Op::Linear, {x, b.weight({8, 8})});
  const ValueId joined = b.node(Op::Linear, {x, b.weight({8, 8}, 3), b.weight({8}, 4), x});
  b.output(swapped(read), "y");
  b.output(swapped(joined), "z");
  b.output(b.node(Op::Relu, {read}), "w");
  apply(b.graph, batch_first, 0);
}

}  // namespace
}  // namespace vitrail::testing
