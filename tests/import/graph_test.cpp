// SPDX-License-Identifier: Apache-2.0
// Names, order, constants and metadata of imported graphs.
#include <algorithm>
#include <limits>

#include "model_builder.h"

namespace vitrail::testing_import {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Nodes = ImportTest;

TEST_F(Nodes, CarryNamesOperatorsAttributesAndMetadata) {
  ModelBuilder m;
  m.input("x", {"batch", 3}).output("y");
  auto& entry = *m.proto.add_metadata_props();
  entry.set_key("author");
  entry.set_value("somebody");
  auto& node = m.node("Softmax", {"x"}, {"y"}, "head/softmax");
  set_int(node, "axis", 1);
  set_float(node, "f", 0.5f);
  set_ints(node, "list", {1, 2});
  auto& text = *node.add_attribute();
  text.set_name("text");
  text.set_type(onnx::AttributeProto::STRING);
  text.set_s("half_pixel");
  const Graph g = import_ok(m);
  EXPECT_EQ(g.name, "test");
  EXPECT_EQ(g.opset, 17);
  EXPECT_EQ(g.metadata.at("author"), "somebody");
  ASSERT_EQ(g.nodes.size(), 1u);
  EXPECT_EQ(g.nodes[0].op, Op::Softmax);
  EXPECT_EQ(g.nodes[0].name, "head/softmax");
  EXPECT_EQ(g.nodes[0].integer("axis", 7), 1);
  EXPECT_EQ(g.nodes[0].real("f", 0), 0.5f);
  EXPECT_EQ(g.nodes[0].text("text", ""), "half_pixel");
  EXPECT_THAT(g.nodes[0].integers("list"), ElementsAre(1, 2));
  EXPECT_THAT(g.inputs, ElementsAre(g.find("x")));
  EXPECT_THAT(g.outputs, ElementsAre(g.find("y")));
  EXPECT_FALSE(g.value(g.find("y")).shape.has_value());
}

TEST_F(Nodes, WithoutOrWithEqualNamesGetUniqueOnes) {
  ModelBuilder m;
  m.input("x", {"batch", 3}).output("c");
  m.node("Relu", {"x"}, {"a"});
  m.node("Relu", {"a"}, {"b"}, "same");
  m.node("Relu", {"b"}, {"c"}, "same");
  const Graph g = import_ok(m);
  EXPECT_EQ(g.nodes[0].name, "Relu_a");
  EXPECT_EQ(g.nodes[1].name, "same");
  EXPECT_NE(g.nodes[2].name, "same");
}

TEST_F(Nodes, AreSortedAndKeepTheFilesOrderOtherwise) {
  ModelBuilder m;
  m.input("x", {"batch", 3}).output("d");
  m.node("Add", {"b", "c"}, {"d"}, "last");
  m.node("Relu", {"a"}, {"b"}, "second");
  m.node("Tanh", {"a"}, {"c"}, "third");
  m.node("Neg", {"x"}, {"a"}, "first");
  const Graph g = import_ok(m);
  std::vector<std::string> names;
  for (const Node& n : g.nodes) names.push_back(n.name);
  EXPECT_THAT(names, ElementsAre("first", "second", "third", "last"));
}

TEST_F(Nodes, InACycleAreAnError) {
  ModelBuilder m;
  m.input("x", {"batch", 3}).output("b");
  m.node("Add", {"x", "b"}, {"a"}, "loop_begin");
  m.node("Relu", {"a"}, {"b"}, "loop_end");
  expect_error(m, {"cycle", "loop_begin"});
}

TEST_F(Nodes, ThatReadOrMakeWrongValuesAreAnError) {
  ModelBuilder missing = one_node("Relu");
  missing.graph().mutable_node(0)->set_input(0, "nothing");
  expect_error(missing, {"layer 'layer'", "'nothing'"});

  ModelBuilder twice = one_node("Relu");
  twice.node("Neg", {"x"}, {"y"}, "other");
  expect_error(twice, {"'layer'", "'other'", "'y'"});

  ModelBuilder over_input = one_node("Relu");
  over_input.node("Neg", {"y"}, {"x"}, "other");
  expect_error(over_input, {"cycle"});

  ModelBuilder over_weight = one_node("Relu");
  over_weight.floats("w", {1}, {1}).node("Neg", {"x"}, {"w"}, "other");
  expect_error(over_weight, {"'w'", "twice"});

  ModelBuilder no_output = one_node("Relu");
  no_output.output("z");
  expect_error(no_output, {"output 'z'"});

  ModelBuilder arity = one_node("MatMul");
  expect_error(arity, {"layer 'layer'", "MatMul"});

  ModelBuilder none = one_node("Softmax", 11);
  none.graph().mutable_node(0)->clear_input();
  expect_error(none, {"layer 'layer'", "input"});
}

TEST_F(Nodes, ConstantNodesBecomeConstants) {
  ModelBuilder m = one_node("Relu");
  set_int(m.node("Constant", {}, {"i"}), "value_int", -5);
  set_ints(m.node("Constant", {}, {"is"}), "value_ints", {1, 2, 3});
  set_float(m.node("Constant", {}, {"f"}), "value_float", 1.5f);
  auto& floats = *m.node("Constant", {}, {"fs"}).add_attribute();
  floats.set_name("value_floats");
  floats.set_type(onnx::AttributeProto::FLOATS);
  floats.add_floats(2.5f);
  auto& tensor = *m.node("Constant", {}, {"t"}).add_attribute();
  tensor.set_name("value");
  tensor.set_type(onnx::AttributeProto::TENSOR);
  tensor.mutable_t()->set_data_type(7);
  tensor.mutable_t()->add_dims(1);
  tensor.mutable_t()->add_int64_data(9);
  const Graph g = import_ok(m);
  EXPECT_EQ(g.nodes.size(), 1u);
  EXPECT_THAT(values_of<int64_t>(g, "i"), ElementsAre(-5));
  EXPECT_TRUE(g.constant(g.find("i")).shape().empty());
  EXPECT_THAT(values_of<int64_t>(g, "is"), ElementsAre(1, 2, 3));
  EXPECT_EQ(g.value(g.find("is")).integers->at(2), Dim::of(3));
  EXPECT_THAT(values_of<float>(g, "f"), ElementsAre(1.5f));
  EXPECT_THAT(values_of<float>(g, "fs"), ElementsAre(2.5f));
  EXPECT_THAT(values_of<int64_t>(g, "t"), ElementsAre(9));

  auto& text = *m.node("Constant", {}, {"s"}, "words").add_attribute();
  text.set_name("value_string");
  text.set_type(onnx::AttributeProto::STRING);
  expect_error(m, {"layer 'words'", "value_string"});
}

TEST_F(Nodes, AbsentOptionalInputsHaveNoValue) {
  ModelBuilder m;
  m.input("x", {"batch", 3}).output("y").floats("max", {}, {6});
  m.node("Clip", {"x", "", "max"}, {"a"}, "upper");
  m.node("Clip", {"a", "max", ""}, {"y"}, "lower");
  const Graph g = import_ok(m);
  EXPECT_THAT(g.nodes[0].inputs, ElementsAre(g.find("x"), kNoValue, g.find("max")));
  EXPECT_THAT(g.nodes[1].inputs, ElementsAre(g.find("a"), g.find("max")));
}

TEST_F(Nodes, AttributesThatCannotBeReadAreAnError) {
  ModelBuilder twice = one_node("Softmax");
  set_int(*twice.graph().mutable_node(0), "axis", 1);
  set_int(*twice.graph().mutable_node(0), "axis", 2);
  expect_error(twice, {"layer 'layer'", "'axis'", "twice"});

  ModelBuilder untyped = one_node("Softmax");
  untyped.graph().mutable_node(0)->add_attribute()->set_name("axis");
  expect_error(untyped, {"layer 'layer'", "'axis'"});

  ModelBuilder reference = one_node("Softmax");
  set_int(*reference.graph().mutable_node(0), "axis", 1);
  reference.graph().mutable_node(0)->mutable_attribute(0)->set_ref_attr_name("outer");
  expect_error(reference, {"layer 'layer'", "'axis'", "function"});
}

TEST_F(Nodes, NonfiniteWeightsAreCountedAndWarnedOf) {
  constexpr float kInf = std::numeric_limits<float>::infinity(),
                  kNan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> weights(3000, 1.f);
  weights[5] = kNan;
  weights[2999] = -kInf;
  weights[1500] = std::numeric_limits<float>::max();
  weights[1501] = std::numeric_limits<float>::denorm_min();
  ModelBuilder m = one_node("Relu");
  m.floats("good", {2}, {0, -1}).floats("bad", {3000}, weights).floats("mask_filler", {}, {-kInf});
  m.initializer("half", {3}, 10).set_raw_data(raw_bytes<uint16_t>({0x7c00, 0x7bff, 0xfe00}));
  m.initializer("brain", {2}, 16).set_raw_data(raw_bytes<uint16_t>({0x7f80, 0x7f7f}));
  m.initializer("double", {2}, 11).set_raw_data(raw_bytes<double>({1.0, kNan}));
  import_ok(m);
  EXPECT_EQ(report_.nonfinite_weights, 2 + 2 + 1 + 1);
  ASSERT_EQ(report_.warnings.size(), 1u);
  EXPECT_THAT(report_.warnings[0], HasSubstr("6 weights"));
  EXPECT_THAT(report_.warnings[0], HasSubstr("'bad'"));
}

TEST_F(Nodes, UnusedExtraOutputsAreDroppedAndUsedOnesAreAnError) {
  ModelBuilder m;
  m.input("x", {"batch", 3, 8, 8}).output("y").floats("s", {8}, std::vector<float>(8, 1.f));
  m.node("MaxPool", {"x"}, {"a", "indices"}, "pool");
  m.node("LayerNormalization", {"a", "s"}, {"b", "mean", "deviation"}, "norm");
  m.node("Dropout", {"b"}, {"y", "mask"}, "drop");
  const Graph g = import_ok(m);
  for (const Node& n : g.nodes) EXPECT_EQ(n.outputs.size(), 1u) << n.name;
  for (const char* name : {"indices", "mean", "deviation", "mask"}) EXPECT_EQ(g.find(name), kNoValue);

  for (const auto& [name, layer] : {std::pair{"indices", "pool"}, {"deviation", "norm"}, {"mask", "drop"}}) {
    ModelBuilder used = m;
    used.output(name);
    expect_error(used, {layer, name});
  }
}

}  // namespace
}  // namespace vitrail::testing_import
