// SPDX-License-Identifier: Apache-2.0
#include "graph/edit.h"

#include <gtest/gtest.h>

#include "../passes/graph_builder.h"

namespace vitrail::testing {
namespace {

class Edit : public ::testing::Test {
 protected:
  GraphBuilder b;
  ValueId x = b.input("x", {kN, 4_d});
  void expect_valid() {
    const Status s = verify_graph(b.graph);
    EXPECT_TRUE(s.ok()) << s.message();
  }
};

TEST_F(Edit, ReplaceUsesRewiresReaders) {
  const ValueId a = b.node(Op::Relu, {x}), twice = b.node(Op::Add, {a, a});
  b.output(twice);
  EXPECT_TRUE(replace_uses(b.graph, a, x));
  EXPECT_EQ(b.graph.nodes[1].inputs, (std::vector<ValueId>{x, x}));
}

TEST_F(Edit, AnOutputKeepsItsName) {
  const ValueId a = b.node(Op::Relu, {x}, {}, "inner"), out = b.node(Op::Identity, {a});
  b.output(out, "logits");
  EXPECT_TRUE(replace_uses(b.graph, out, a));
  EXPECT_EQ(b.graph.outputs, std::vector<ValueId>{a});
  EXPECT_EQ(b.graph.value(a).name, "logits");
  remove_nodes(b.graph, {false, true});
  expect_valid();
}

TEST_F(Edit, AnOutputThatWouldBeAnInputStays) {
  const ValueId out = b.node(Op::Identity, {x});
  b.output(out, "y");
  EXPECT_FALSE(replace_uses(b.graph, out, x));
  EXPECT_EQ(b.graph.outputs, std::vector<ValueId>{out});
  EXPECT_EQ(b.graph.value(x).name, "x");
}

TEST_F(Edit, TwoOutputsStayTwo) {
  const ValueId a = b.node(Op::Relu, {x}), out = b.node(Op::Identity, {a});
  b.output(a, "first");
  b.output(out, "second");
  EXPECT_FALSE(replace_uses(b.graph, out, a));
  EXPECT_EQ(b.graph.outputs, (std::vector<ValueId>{a, out}));
}

TEST_F(Edit, InsertKeepsOrder) {
  const ValueId a = b.node(Op::Relu, {x}, {}, "a");
  b.output(b.node(Op::Abs, {a}, {}, "b"));
  auto named = [](const std::string& name) { return Node{Op::Identity, name, {}, {}, {}, ""}; };
  insert_nodes(b.graph, {{2, named("end")}, {1, named("p")}, {0, named("first")}, {1, named("q")}});
  std::string order;
  for (const Node& node : b.graph.nodes) order += node.name + " ";
  EXPECT_EQ(order, "first a p q b end ");
}

TEST_F(Edit, DeadChainsGo) {
  b.node(Op::Abs, {b.node(Op::Relu, {x})});
  const ValueId kept = b.node(Op::Neg, {x});
  b.output(kept);
  EXPECT_EQ(remove_dead_nodes(b.graph), 2u);
  ASSERT_EQ(b.graph.nodes.size(), 1u);
  EXPECT_EQ(b.graph.nodes[0].op, Op::Neg);
}

TEST_F(Edit, ANodeWithOneLiveOutputStays) {
  const auto parts = b.nodes(Op::Split, {x}, 2, {{"axis", 1}});
  b.output(parts[1]);
  EXPECT_EQ(remove_dead_nodes(b.graph), 0u);
}

TEST_F(Edit, CompactDropsUnusedValuesAndRenumbers) {
  const ValueId unused_weight = b.weight({1000});
  const ValueId w = b.weight({4});
  const ValueId clipped = b.node(Op::Clip, {x, kNoValue, w}, {}, "y");
  b.output(clipped);
  (void)unused_weight;
  compact(b.graph);
  ASSERT_EQ(b.graph.values.size(), 3u);
  EXPECT_EQ(b.graph.nodes[0].inputs, (std::vector<ValueId>{0, kNoValue, 1}));
  EXPECT_EQ(b.graph.constant(1).count(), 4);
  EXPECT_EQ(b.graph.outputs, std::vector<ValueId>{2});
  EXPECT_EQ(b.graph.value(2).name, "y");
  expect_valid();
}

TEST_F(Edit, NamesAreUnique) {
  EXPECT_EQ(unique_name(b.graph, "fresh"), "fresh");
  EXPECT_EQ(unique_name(b.graph, "x"), "x.1");
  const ValueId w = add_weight(b.graph, "x", Tensor::f32({1}, {1}));
  EXPECT_EQ(b.graph.value(w).name, "x.1");
  EXPECT_EQ(b.graph.value(add_intermediate(b.graph, "x", DType::kF32, {})).name, "x.2");
}

}  // namespace
}  // namespace vitrail::testing
