// SPDX-License-Identifier: Apache-2.0
// What an import computes while it reads a model: conditions and shapes that go through floats.
#include "../import/model_builder.h"
#include "backends/reference/evaluate.h"

namespace vitrail::testing_import {
namespace {

using ::testing::HasSubstr;

class ImportEvaluation : public ImportTest {
 protected:
  // `half` = ceil(width of x / 2), as int64: 2 for [N,3].
  static ModelBuilder halved() {
    ModelBuilder m;
    m.input("x", {"batch", 3}).output("y");
    m.ints("one", {1}, {1}).ints("two", {1}, {2}).floats("factor", {}, {0.5f});
    m.node("Shape", {"x"}, {"shape"});
    m.node("Gather", {"shape", "one"}, {"width"});
    set_int(m.node("Cast", {"width"}, {"wide"}), "to", 1);
    m.node("Mul", {"wide", "factor"}, {"product"});
    m.node("Ceil", {"product"}, {"above"});
    set_int(m.node("Cast", {"above"}, {"half"}), "to", 7);
    return m;
  }

  Result<Graph> evaluated(const ModelBuilder& model) {
    ImportOptions options;
    options.evaluate = [](const Node& node, std::span<const Tensor* const> inputs) {
      return evaluate_node(node, inputs);
    };
    return import(model, options);
  }
};

void add_branch(onnx::NodeProto& node, const std::string& name, const std::string& op) {
  auto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(onnx::AttributeProto::GRAPH);
  ModelBuilder::fill_node(*a.mutable_g()->add_node(), op, {"x"}, {"inner"});
  a.mutable_g()->add_output()->set_name("inner");
}

TEST_F(ImportEvaluation, AConditionThatGoesThroughFloats) {
  ModelBuilder m = halved();
  m.node("Equal", {"half", "two"}, {"test"});
  auto& node = m.node("If", {"test"}, {"y"}, "branch");
  add_branch(node, "then_branch", "Relu");
  add_branch(node, "else_branch", "Neg");
  const auto graph = evaluated(m);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  ASSERT_EQ(graph->nodes.size(), 4u) << "Shape, Gather and the branch; the rest was computed";
  EXPECT_EQ(graph->nodes[2].op, Op::Relu);
  expect_error(m, {"layer 'branch'", "'test'"});
}

TEST_F(ImportEvaluation, AnEinsumWhoseShapesGoThroughFloats) {
  ModelBuilder m = halved();
  m.floats("w", {1, 4}, {1, 2, 3, 4});
  set_int(m.node("Concat", {"half", "two"}, {"to"}), "axis", 0);
  m.node("Reshape", {"w", "to"}, {"square"});
  m.node("Slice", {"x", "zero", "two", "one"}, {"part"});
  m.ints("zero", {1}, {0});
  auto& equation = *m.node("Einsum", {"part", "square"}, {"y"}, "product").add_attribute();
  equation.set_name("equation");
  equation.set_type(onnx::AttributeProto::STRING);
  equation.set_s("bi,ij->bj");
  const auto graph = evaluated(m);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(graph->nodes.back().op, Op::Identity);
  EXPECT_THAT(values_of<float>(*graph, "square"), ::testing::ElementsAre(1, 2, 3, 4));
  expect_error(m, {"layer 'product'", "'square' is not known"});
}

// An evaluation that fails is no failure of the import: what is wrong is told when the layer is looked at.
TEST_F(ImportEvaluation, ADivisionByZeroIsLeftToThePasses) {
  ModelBuilder m = halved();
  m.ints("zero", {1}, {0});
  m.node("Div", {"half", "zero"}, {"quotient"});
  m.node("Equal", {"quotient", "two"}, {"test"});
  auto& node = m.node("If", {"test"}, {"y"}, "branch");
  add_branch(node, "then_branch", "Relu");
  add_branch(node, "else_branch", "Neg");
  const auto graph = evaluated(m);
  ASSERT_FALSE(graph.ok());
  EXPECT_THAT(graph.status().message(), HasSubstr("'test'"));
}

}  // namespace
}  // namespace vitrail::testing_import
