// SPDX-License-Identifier: Apache-2.0
// Unknown operators and model-local functions.
#include <chrono>

#include "model_builder.h"

namespace vitrail::testing_import {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using Operators = ImportTest;

TEST_F(Operators, UnknownOnesAreAllListedWithTheWayOut) {
  ModelBuilder m;
  m.input("x", {"batch", 3}).output("y");
  auto& microsoft = *m.proto.add_opset_import();
  microsoft.set_domain("com.microsoft");
  microsoft.set_version(1);
  m.node("Relu", {"x"}, {"a"}, "fine");
  m.node("Frobnicate", {"a"}, {"b"}, "odd_1");
  m.node("Frobnicate", {"b"}, {"c"}, "odd_2");
  m.node("Gelu", {"c"}, {"d"}, "fused").set_domain("com.microsoft");
  m.node("MultiHeadAttention", {"d", "d", "d"}, {"y"}, "not_onnx");
  const auto graph = import(m);
  ASSERT_FALSE(graph.ok());
  EXPECT_EQ(graph.status().code(), Code::kBadInput);
  const std::string message = graph.status().message();
  for (const char* part :
       {"3 operators", "Frobnicate (domain ai.onnx, opset 17): 2 layers, the first is 'odd_1'",
        "Gelu (domain com.microsoft, opset 1): 1 layer, the first is 'fused'", "MultiHeadAttention",
        "not_onnx", "ONNX Runtime's optimizer", "vitrail inspect", "issue"})
    EXPECT_THAT(message, HasSubstr(part));
  EXPECT_THAT(message, Not(HasSubstr("Relu")));
}

TEST_F(Operators, WithGraphsInThemAreAnErrorThatNamesTheLayer) {
  ModelBuilder m = one_node("Loop");
  auto& branch = *m.graph().mutable_node(0)->add_attribute();
  branch.set_name("body");
  branch.set_type(onnx::AttributeProto::GRAPH);
  branch.mutable_g()->set_name("inner");
  expect_error(m, {"Loop", "'layer'", "not supported", "do_constant_folding"});
  m.graph().mutable_node(0)->set_op_type("Relu");
  expect_error(m, {"Relu", "'layer'", "not supported"});
}

class Functions : public ImportTest {
 protected:
  // f(a) -> b in domain "my"; its nodes are added by the caller.
  static onnx::FunctionProto& add_function(ModelBuilder& m, const std::string& name) {
    auto& f = *m.proto.add_functions();
    f.set_domain("my");
    f.set_name(name);
    f.add_input("a");
    f.add_output("b");
    f.add_opset_import()->set_version(17);
    return f;
  }
  static ModelBuilder calling(const std::string& name) {
    ModelBuilder m = one_node(name);
    m.graph().mutable_node(0)->set_domain("my");
    return m;
  }
  static onnx::NodeProto& body(onnx::FunctionProto& f, const std::string& op,
                               const std::vector<std::string>& inputs,
                               const std::vector<std::string>& outputs, const char* domain = "") {
    auto& n = ModelBuilder::fill_node(*f.add_node(), op, inputs, outputs, op);
    n.set_domain(domain);
    return n;
  }
};

TEST_F(Functions, AreInlinedWithTheirNamesApart) {
  ModelBuilder m = calling("F");
  m.graph().mutable_node(0)->set_output(0, "mid");
  m.node("F", {"mid"}, {"y"}, "again").set_domain("my");
  auto& f = add_function(m, "F");
  body(f, "Relu", {"a"}, {"t"});
  body(f, "Neg", {"t"}, {"b"});
  const Graph g = import_ok(m);
  ASSERT_EQ(g.nodes.size(), 4u);
  EXPECT_EQ(g.nodes[0].op, Op::Relu);
  EXPECT_EQ(g.nodes[3].op, Op::Neg);
  EXPECT_THAT(g.nodes[0].inputs, ElementsAre(g.find("x")));
  EXPECT_THAT(g.nodes[1].outputs, ElementsAre(g.find("mid")));
  EXPECT_THAT(g.nodes[2].inputs, ElementsAre(g.find("mid")));
  EXPECT_THAT(g.nodes[3].outputs, ElementsAre(g.find("y")));
  EXPECT_THAT(g.nodes[0].name, HasSubstr("layer"));
  EXPECT_THAT(g.nodes[2].name, HasSubstr("again"));
}

TEST_F(Functions, InsideFunctionsAreInlinedToo) {
  ModelBuilder m = calling("Outer");
  body(add_function(m, "Outer"), "Inner", {"a"}, {"b"}, "my");
  body(add_function(m, "Inner"), "Relu", {"a"}, {"b"});
  const Graph g = import_ok(m);
  ASSERT_EQ(g.nodes.size(), 1u);
  EXPECT_EQ(g.nodes[0].op, Op::Relu);
  EXPECT_THAT(g.nodes[0].outputs, ElementsAre(g.find("y")));
}

TEST_F(Functions, TakeAttributesFromTheCallerOrTheirDefaults) {
  auto with_reference = [](const char* outer) {
    ModelBuilder m = calling("F");
    auto& f = add_function(m, "F");
    f.add_attribute(outer);
    auto& a = *body(f, "Softmax", {"a"}, {"b"}).add_attribute();
    a.set_name("axis");
    a.set_type(onnx::AttributeProto::INT);
    a.set_ref_attr_name(outer);
    return m;
  };
  ModelBuilder given = with_reference("dim");
  set_int(*given.graph().mutable_node(0), "dim", 5);
  EXPECT_EQ(import_ok(given).nodes[0].integer("axis", 0), 5);
  EXPECT_FALSE(import_ok(with_reference("dim")).nodes[0].has("axis"));

  // FunctionProto.attribute_proto = 11, which the schema of ONNX 1.12 does not have: appended as bytes.
  ModelBuilder defaulted = with_reference("dim");
  onnx::AttributeProto value;
  value.set_name("dim");
  value.set_type(onnx::AttributeProto::INT);
  value.set_i(3);
  const std::string bytes = value.SerializeAsString();
  auto& f = *defaulted.proto.mutable_functions(0);
  std::string function = f.SerializeAsString();
  function += static_cast<char>(11 << 3 | 2);
  function += static_cast<char>(bytes.size());
  ASSERT_TRUE(f.ParseFromString(function + bytes));
  EXPECT_EQ(import_ok(defaulted).nodes[0].integer("axis", 0), 3);
  set_int(*defaulted.graph().mutable_node(0), "dim", 5);
  EXPECT_EQ(import_ok(defaulted).nodes[0].integer("axis", 0), 5) << "the caller goes before the default";
}

TEST_F(Functions, MayHandAnInputThroughAndLeaveInputsOut) {
  ModelBuilder m = calling("F");
  auto& f = *m.proto.add_functions();
  f.set_domain("my");
  f.set_name("F");
  f.add_input("a");
  f.add_input("max");
  f.add_output("a");
  f.add_output("c");
  body(f, "Clip", {"a", "", "max"}, {"c"});
  m.graph().mutable_node(0)->add_output("z");
  m.output("z");
  const Graph g = import_ok(m);
  ASSERT_EQ(g.nodes.size(), 2u);
  EXPECT_EQ(g.nodes[0].op, Op::Identity);
  EXPECT_THAT(g.nodes[0].outputs, ElementsAre(g.find("y")));
  EXPECT_THAT(g.nodes[1].inputs, ElementsAre(g.find("x")));
}

TEST_F(Functions, ThatCannotBeInlinedAreAnError) {
  ModelBuilder recursive = calling("F");
  body(add_function(recursive, "F"), "F", {"a"}, {"b"}, "my");
  expect_error(recursive, {"'F'", "recursive"});

  ModelBuilder overloaded = calling("F");
  body(add_function(overloaded, "F"), "Relu", {"a"}, {"b"});
  body(add_function(overloaded, "F"), "Neg", {"a"}, {"b"});
  expect_error(overloaded, {"two functions 'F'"});

  ModelBuilder arity = calling("F");
  body(add_function(arity, "F"), "Relu", {"a"}, {"b"});
  arity.graph().mutable_node(0)->add_input("x");
  expect_error(arity, {"layer 'layer'", "'F'"});

  ModelBuilder version = calling("F");
  auto& f = add_function(version, "F");
  body(f, "Relu", {"a"}, {"b"});
  f.mutable_opset_import(0)->set_version(12);
  expect_error(version, {"'F'", "opset 12", "17"});
}

// A few hundred bytes that unfold to 10^20 layers must fail at once; even when the innermost function is
// empty.
TEST_F(Functions, ThatUnfoldBeyondAllBoundsAreAnError) {
  for (const bool empty : {false, true}) {
    ModelBuilder m = calling("F0");
    for (int level = 0; level < 20; ++level) {
      auto& f = add_function(m, "F" + std::to_string(level));
      for (int i = 0; i < 10; ++i)
        body(f, "F" + std::to_string(level + 1), {"a"}, {i ? "t" + std::to_string(i) : "b"}, "my");
    }
    auto& leaf = add_function(m, "F20");
    if (!empty) body(leaf, "Relu", {"a"}, {"b"});
    const auto start = std::chrono::steady_clock::now();
    expect_error(m, {"unfold", "200000 layers"});
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
  }
}

}  // namespace
}  // namespace vitrail::testing_import
