// SPDX-License-Identifier: Apache-2.0
// Operators of restated.def, and branches of If; what they compute is tested with ONNX's own node tests.
#include <algorithm>

#include "model_builder.h"

namespace vitrail::testing_import {
namespace {

using ::testing::HasSubstr;

std::string operators_of(const Graph& graph) {
  std::string names;
  for (const Node& node : graph.nodes) names += (names.empty() ? "" : " ") + std::string(op_name(node.op));
  return names;
}

using Restate = ImportTest;

TEST_F(Restate, AttentionIsProductsAndASoftmax) {
  ModelBuilder m(23);
  m.input("x", {"batch", 5, 8}).output("y");
  auto& node = m.node("Attention", {"x", "x", "x"}, {"y"}, "attention");
  set_int(node, "q_num_heads", 2);
  set_int(node, "kv_num_heads", 2);
  const Graph graph = import_ok(m);
  EXPECT_EQ(operators_of(graph),
            "Reshape Transpose Reshape Transpose Reshape Transpose Mul Transpose MatMul Softmax MatMul "
            "Transpose Reshape");
  EXPECT_EQ(graph.value(graph.outputs[0]).name, "y");
  EXPECT_TRUE(std::all_of(graph.nodes.begin(), graph.nodes.end(),
                          [](const Node& n) { return n.name.starts_with("attention"); }));
}

TEST_F(Restate, ErrorsNameTheLayerAndTheNumbers) {
  ModelBuilder m(23);
  m.input("x", {"batch", 5, 8}).output("y");
  auto& node = m.node("Attention", {"x", "x", "x"}, {"y"}, "attention");
  set_int(node, "q_num_heads", 3);
  set_int(node, "kv_num_heads", 2);
  expect_error(m, {"layer 'attention'", "8 columns do not divide", "q_num_heads = 3"});
  m.graph().mutable_node(0)->mutable_input()->RemoveLast();
  expect_error(m, {"layer 'attention'", "2 inputs, needs 3 to 6"});

  ModelBuilder groups(21);
  groups.input("x", {"batch", 6, 4}).output("y");
  groups.floats("s", {6}, std::vector<float>(6, 1));
  set_int(groups.node("GroupNormalization", {"x", "s", "s"}, {"y"}, "norm"), "num_groups", 4);
  expect_error(groups, {"layer 'norm'", "6 channels do not divide into 4 groups"});

  ModelBuilder einsum;
  einsum.input("x", {"batch", 5, 5}).output("y");
  auto& equation = *einsum.node("Einsum", {"x"}, {"y"}, "diagonal").add_attribute();
  equation.set_name("equation");
  equation.set_type(onnx::AttributeProto::STRING);
  equation.set_s("bii->bi");
  expect_error(einsum, {"layer 'diagonal'", "'bii' names an axis twice"});
}

// y = If(rank of x > `limit`) then Relu(x) else Neg(x), as TorchScript writes it.
ModelBuilder branching(const std::string& condition) {
  ModelBuilder m;
  m.input("x", {"batch", 3}).output("y");
  m.ints("one", {}, {1});
  m.ints("five", {}, {5});
  m.node("Shape", {"x"}, {"shape"});
  m.node("Size", {"shape"}, {"rank"});
  m.node("Greater", {"rank", "one"}, {"true"});
  m.node("Greater", {"rank", "five"}, {"false"});
  m.node("ReduceMax", {"x"}, {"largest"});
  m.floats("zero", {}, {0});
  m.node("Greater", {"largest", "zero"}, {"unknown"});
  auto& node = m.node("If", {condition}, {"y"}, "branch");
  for (const auto& [name, op] : {std::pair{"then_branch", "Relu"}, {"else_branch", "Neg"}}) {
    auto& a = *node.add_attribute();
    a.set_name(name);
    a.set_type(onnx::AttributeProto::GRAPH);
    auto& g = *a.mutable_g();
    ModelBuilder::fill_node(*g.add_node(), op, {"x"}, {"inner"}, "same name");
    g.add_output()->set_name("inner");
  }
  return m;
}

TEST_F(Restate, AnIfAboutShapesBecomesItsBranch) {
  EXPECT_THAT(operators_of(import_ok(branching("true"))), HasSubstr("Relu Identity"));
  EXPECT_THAT(operators_of(import_ok(branching("false"))), HasSubstr("Neg Identity"));
}

TEST_F(Restate, BranchesMayUseTheSameNames) {
  ModelBuilder m = branching("true");
  auto& second = *m.graph().add_node() = m.graph().node(m.graph().node_size() - 1);
  second.set_name("again");
  second.set_output(0, "z");
  m.output("z");
  const Graph graph = import_ok(m);
  EXPECT_EQ(graph.outputs.size(), 2u);
}

TEST_F(Restate, AnIfAboutTheDataIsRefused) {
  expect_error(branching("unknown"), {"layer 'branch'", "'unknown'", "depends on the data"});
}

TEST_F(Restate, AnUnknownOperatorMattersInTheBranchThatIsTaken) {
  ModelBuilder m = branching("true");
  auto& node = *m.graph().mutable_node(m.graph().node_size() - 1);
  node.mutable_attribute(1)->mutable_g()->mutable_node(0)->set_op_type("Frobnicate");
  import_ok(m);
  node.mutable_attribute(0)->mutable_g()->mutable_node(0)->set_op_type("Frobnicate");
  expect_error(m, {"Frobnicate", "'same name'"});
}

}  // namespace
}  // namespace vitrail::testing_import
