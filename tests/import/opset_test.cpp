// SPDX-License-Identifier: Apache-2.0
// Operators of older opsets in the form of the newest.
#include "model_builder.h"

namespace vitrail::testing_import {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Opset = ImportTest;

TEST_F(Opset, OutsideOf11To23IsAnErrorWithTheWayOut) {
  for (int64_t opset : {11, 12, 13, 17, 18, 20, 21, 22, 23})
    EXPECT_EQ(import_ok(one_node("Relu", opset)).opset, opset);
  expect_error(one_node("Relu", 10), {"opset 10", "opset_version"});
  expect_error(one_node("Relu", 24), {"opset 24", "opset_version"});
  ModelBuilder none = one_node("Relu");
  none.proto.clear_opset_import();
  expect_error(none, {"operator set"});
  ModelBuilder spelled = one_node("Relu");
  spelled.proto.mutable_opset_import(0)->set_domain("ai.onnx");
  spelled.graph().mutable_node(0)->set_domain("ai.onnx");
  EXPECT_EQ(import_ok(spelled).opset, 17);
}

TEST_F(Opset, AxesBecomeAnInput) {
  for (const char* op : {"ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
                         "ReduceSumSquare", "Squeeze", "Unsqueeze"}) {
    ModelBuilder m = one_node(op, 11);
    set_ints(*m.graph().mutable_node(0), "axes", {1, -1});
    const Graph g = import_ok(m);
    ASSERT_EQ(g.nodes.size(), 1u) << op;
    ASSERT_EQ(g.nodes[0].inputs.size(), 2u) << op;
    EXPECT_THAT(integers_of(g, g.nodes[0].inputs[1]), ElementsAre(1, -1)) << op;
    EXPECT_FALSE(g.nodes[0].has("axes")) << op;
  }
}

TEST_F(Opset, AxesThatAreAnInputOrAbsentStaySo) {
  ModelBuilder m;
  m.input("x", {"batch", 3}).output("y").ints("axes", {1}, {1});
  m.node("ReduceSum", {"x", "axes"}, {"a"});
  m.node("ReduceMean", {"a"}, {"y"});
  const Graph g = import_ok(m);
  EXPECT_THAT(g.nodes[0].inputs, ElementsAre(g.find("x"), g.find("axes")));
  EXPECT_THAT(g.nodes[1].inputs, ElementsAre(g.find("a")));

  ModelBuilder bad = one_node("ReduceMean");
  set_int(*bad.graph().mutable_node(0), "axes", 1);
  expect_error(bad, {"layer 'layer'", "'axes'"});
}

// Names made for the new constants may be taken already.
TEST_F(Opset, NewConstantsHaveUniqueNames) {
  ModelBuilder m = one_node("ReduceMean");
  set_ints(*m.graph().mutable_node(0), "axes", {1});
  m.floats("layer.axes", {1}, {0});
  const Graph g = import_ok(m);
  EXPECT_THAT(integers_of(g, g.nodes[0].inputs[1]), ElementsAre(1));
}

TEST_F(Opset, SplitSizesBecomeAnInputOrACount) {
  ModelBuilder m(11);
  m.input("x", {"batch", 6}).output("c").output("e");
  auto& sizes = m.node("Split", {"x"}, {"a", "b"}, "sizes");
  set_ints(sizes, "split", {2, 4});
  set_int(sizes, "axis", 1);
  m.node("Split", {"b"}, {"c", "d"}, "equal");
  auto& parts = m.node("Split", {"a"}, {"e", "f"}, "parts");
  set_int(parts, "num_outputs", 2);
  const Graph g = import_ok(m);
  EXPECT_THAT(integers_of(g, g.nodes[0].input(1)), ElementsAre(2, 4));
  EXPECT_FALSE(g.nodes[0].has("split"));
  EXPECT_FALSE(g.nodes[0].has("num_outputs"));
  EXPECT_EQ(g.nodes[1].integer("num_outputs", 0), 2);
  EXPECT_EQ(g.nodes[1].outputs.size(), 2u) << "an unread part still counts";
  EXPECT_EQ(g.nodes[2].integer("num_outputs", 0), 2);
}

TEST_F(Opset, SoftmaxOverTheLastAxisIsTodays) {
  for (int64_t axis : {-1, 1}) {
    ModelBuilder m = one_node("Softmax", 11);
    set_int(*m.graph().mutable_node(0), "axis", axis);
    const Graph g = import_ok(m);
    ASSERT_EQ(g.nodes.size(), 1u);
    EXPECT_EQ(g.nodes[0].integer("axis", 0), -1);
  }
  EXPECT_EQ(import_ok(one_node("LogSoftmax", 12)).nodes[0].integer("axis", 0), -1) << "the default was 1";
  EXPECT_FALSE(import_ok(one_node("Softmax", 13)).nodes[0].has("axis"));
}

TEST_F(Opset, SoftmaxOverSeveralAxesGoesThroughAMatrix) {
  ModelBuilder m(11);
  m.input("x", {"batch", 3, 4}).output("y");
  set_int(m.node("Softmax", {"x"}, {"y"}, "flat"), "axis", 1);
  const Graph g = import_ok(m);
  ASSERT_EQ(g.nodes.size(), 4u);
  EXPECT_EQ(g.nodes[0].op, Op::Shape);
  EXPECT_EQ(g.nodes[1].op, Op::Flatten);
  EXPECT_EQ(g.nodes[1].integer("axis", 9), 1);
  EXPECT_EQ(g.nodes[2].op, Op::Softmax);
  EXPECT_EQ(g.nodes[2].name, "flat");
  EXPECT_EQ(g.nodes[2].integer("axis", 9), -1);
  EXPECT_THAT(g.nodes[2].inputs, ElementsAre(g.nodes[1].outputs[0]));
  EXPECT_EQ(g.nodes[3].op, Op::Reshape);
  EXPECT_THAT(g.nodes[3].inputs, ElementsAre(g.nodes[2].outputs[0], g.nodes[0].outputs[0]));
  EXPECT_THAT(g.nodes[3].outputs, ElementsAre(g.find("y")));
}

// Without the rank of an inner value the general form is right for every rank.
TEST_F(Opset, SoftmaxOfAnInnerValueUsesItsInferredRank) {
  ModelBuilder m(11);
  m.input("x", {"batch", 3, 4}).output("y");
  m.node("Relu", {"x"}, {"a"});
  set_int(m.node("Softmax", {"a"}, {"y"}), "axis", 2);
  EXPECT_EQ(import_ok(m).nodes.size(), 2u);
  ModelBuilder open(11);
  open.input("x", {"batch", 3, 4}).input("to", {"anything"}, 7).output("y");
  open.node("Expand", {"x", "to"}, {"a"});
  set_int(open.node("Softmax", {"a"}, {"y"}), "axis", 2);
  EXPECT_EQ(import_ok(open).nodes.size(), 5u);
}

TEST_F(Opset, ResizeWithEmptyInputsHasThemAbsent) {
  ModelBuilder m(11);
  m.input("x", {"batch", 3, 4, 4}).output("y").output("z");
  m.floats("none", {0}, {}).floats("scales", {4}, {1, 1, 2, 2}).ints("sizes", {4}, {1, 3, 8, 8});
  m.node("Resize", {"x", "none", "scales"}, {"y"}, "by_scale");
  m.node("Resize", {"x", "none", "none", "sizes"}, {"z"}, "by_size");
  const Graph g = import_ok(m);
  EXPECT_THAT(g.nodes[0].inputs, ElementsAre(g.find("x"), kNoValue, g.find("scales")));
  EXPECT_THAT(g.nodes[1].inputs, ElementsAre(g.find("x"), kNoValue, kNoValue, g.find("sizes")));

  ModelBuilder neither = m;
  neither.node("Resize", {"x", "none", "none"}, {"w"}, "neither");
  expect_error(neither, {"'neither'", "scales"});
  ModelBuilder both = m;
  both.node("Resize", {"x", "none", "scales", "sizes"}, {"w"}, "both");
  expect_error(both, {"layer 'both'", "sizes"});
}

TEST_F(Opset, DropoutKeepsItsDataAlone) {
  ModelBuilder m;
  m.input("x", {"batch", 3}).output("y").floats("ratio", {}, {0.5f});
  m.initializer("off", {}, 9).add_int32_data(0);
  m.initializer("on", {}, 9).add_int32_data(1);
  m.node("Dropout", {"x", "ratio", "off"}, {"a"});
  set_float(m.node("Dropout", {"a"}, {"y"}), "ratio", 0.5f);
  const Graph g = import_ok(m);
  for (const Node& n : g.nodes) {
    EXPECT_EQ(n.inputs.size(), 1u);
    EXPECT_THAT(n.attributes, IsEmpty());
  }
  ModelBuilder training = m;
  training.node("Dropout", {"x", "ratio", "on"}, {"z"}, "active");
  expect_error(training, {"layer 'active'", "training", "eval()"});
  ModelBuilder unknown = m;
  unknown.input("mode", {1}, 9).node("Dropout", {"x", "ratio", "mode"}, {"z"}, "open");
  expect_error(unknown, {"layer 'open'", "training"});
}

TEST_F(Opset, BatchNormalizationIsForInference) {
  ModelBuilder m(14);
  m.input("x", {"batch", 2}).output("y").floats("p", {2}, {1, 1});
  auto& node = m.node("BatchNormalization", {"x", "p", "p", "p", "p"}, {"y", "mean", "var"}, "bn");
  set_float(node, "momentum", 0.9f);
  set_int(node, "training_mode", 0);
  set_float(node, "epsilon", 1e-3f);
  const Graph g = import_ok(m);
  EXPECT_EQ(g.nodes[0].outputs.size(), 1u);
  EXPECT_EQ(g.nodes[0].attributes.size(), 1u);
  EXPECT_EQ(g.nodes[0].real("epsilon", 0), 1e-3f);
  node.mutable_attribute(1)->set_i(1);
  expect_error(m, {"layer 'bn'", "training", "eval()"});
}

}  // namespace
}  // namespace vitrail::testing_import
