// SPDX-License-Identifier: Apache-2.0
#include "passes/cleanup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph_builder.h"

namespace vitrail::testing {
namespace {

using ::testing::ElementsAre;

class Cleanup : public ::testing::Test {
 protected:
  GraphBuilder b;
  ValueId x = b.input("x", {kN, 6_d, 4_d});

  // "Reshape Add" : what is left, in order.
  std::string cleaned() {
    if (Status s = infer_shapes(b.graph); !s.ok()) return s.message();
    if (Status s = cleanup(b.graph); !s.ok()) return s.message();
    const std::vector<std::optional<SymShape>> before = output_shapes();
    if (Status s = infer_shapes(b.graph); !s.ok()) return s.message();
    EXPECT_EQ(before, output_shapes()) << "cleanup and inference disagree";
    std::string ops;
    for (const Node& node : b.graph.nodes) ops += (ops.empty() ? "" : " ") + std::string(op_name(node.op));
    return ops;
  }
  std::vector<std::optional<SymShape>> output_shapes() const {
    std::vector<std::optional<SymShape>> shapes;
    for (ValueId id : b.graph.outputs) shapes.push_back(b.graph.value(id).shape);
    return shapes;
  }
  ValueId relu(ValueId id) { return b.node(Op::Relu, {id}); }
  // Ends the graph in a node, so that what comes before is not an output.
  void end(ValueId id) { b.output(relu(id), "y"); }
};

TEST_F(Cleanup, NoOpsGo) {
  ValueId v = relu(x);
  v = b.node(Op::Identity, {v});
  v = b.node(Op::Dropout, {v});
  v = b.node(Op::Cast, {v}, {{"to", 1}});
  v = b.node(Op::CastLike, {v, b.real(0)});
  v = b.node(Op::Concat, {v}, {{"axis", 1}});
  v = b.node(Op::Transpose, {v}, {{"perm", Ints{0, 1, 2}}});
  v = b.node(Op::Reshape, {v, b.ints({0, 6, 4})});
  v = b.node(Op::Expand, {v, b.ints({1, 6, 1})});
  v = b.node(Op::Tile, {v, b.ints({1, 1, 1})});
  v = b.node(Op::Slice, {v, b.ints({0}), b.ints({INT64_MAX}), b.ints({1})});
  v = b.node(Op::Pad, {v, b.ints({0, 0, 0, 0, 0, 0})});
  end(v);
  EXPECT_EQ(cleaned(), "Relu Relu");
  EXPECT_EQ(b.graph.value(b.graph.outputs[0]).name, "y");
}

TEST_F(Cleanup, WhatLooksLikeANoOpStays) {
  ValueId v =
      b.node(Op::Slice, {x, b.ints({-1}), b.ints({INT64_MIN}), b.ints({1}), b.ints({-1})});  // reverses
  v = b.node(Op::Pad, {v, b.ints({0, 1, 0, 0, -1, 0})});                                     // shifts
  v = b.node(Op::Cast, {v}, {{"to", 11}});
  const ValueId square = b.node(Op::Cast, {b.input("s", {5_d, 5_d})}, {{"to", 11}});
  const ValueId turned = b.node(Op::Transpose, {square});
  end(v);
  b.output(turned);
  EXPECT_EQ(cleaned(), "Slice Pad Cast Cast Transpose Relu");
}

TEST_F(Cleanup, ADropoutWhoseMaskIsReadStays) {
  const auto out = b.nodes(Op::Dropout, {x}, 2);
  end(out[0]);
  b.output(b.node(Op::Not, {out[1]}));
  EXPECT_EQ(cleaned(), "Dropout Relu Not");
}

TEST_F(Cleanup, OutputsKeepTheirNames) {
  b.output(b.node(Op::Identity, {relu(x)}), "logits");
  EXPECT_EQ(cleaned(), "Relu");
  EXPECT_EQ(b.graph.value(b.graph.outputs[0]).name, "logits");
}

TEST_F(Cleanup, AnInputThatIsAnOutputKeepsItsIdentity) {
  b.output(b.node(Op::Identity, {x}), "y");
  EXPECT_EQ(cleaned(), "Identity");
}

TEST_F(Cleanup, TransposesMerge) {
  const ValueId first = b.node(Op::Transpose, {x}, {{"perm", Ints{1, 2, 0}}});
  end(b.node(Op::Transpose, {first}, {{"perm", Ints{1, 2, 0}}}));
  EXPECT_EQ(cleaned(), "Transpose Relu");
  EXPECT_THAT(b.graph.nodes[0].integers("perm"), ElementsAre(2, 0, 1));
}

TEST_F(Cleanup, TransposesThereAndBackGo) {
  end(b.node(Op::Transpose, {b.node(Op::Transpose, {relu(x)})}));
  EXPECT_EQ(cleaned(), "Relu Relu");
}

TEST_F(Cleanup, ATransposeThatMovesOnlyOnesGoes) {
  const ValueId one = b.input("one", {kN, 1_d, 1_d, 7_d});
  end(b.node(Op::Transpose, {one}, {{"perm", Ints{0, 2, 1, 3}}}));
  EXPECT_EQ(cleaned(), "Relu");
}

TEST_F(Cleanup, ReshapesMergeAndLoseTheirOperands) {
  ValueId v = b.node(Op::Unsqueeze, {relu(x), b.ints({1})});
  v = b.node(Op::Flatten, {v}, {{"axis", 2}});
  v = b.node(Op::Reshape, {v, b.ints({-1, 3, 2, 4})});
  end(v);
  EXPECT_EQ(cleaned(), "Relu Reshape Relu");
  const Node* reshape = find(b.graph, Op::Reshape);
  EXPECT_EQ(reshape->inputs.size(), 1u);
  EXPECT_THAT(reshape->integers("shape"), ElementsAre(-1, 3, 2, 4));
  for (const Value& v2 : b.graph.values) EXPECT_FALSE(v2.constant) << v2.name;
}

TEST_F(Cleanup, ReshapesThereAndBackGo) {
  end(b.node(Op::Reshape, {b.node(Op::Reshape, {relu(x), b.ints({-1, 4})}), b.ints({-1, 6, 4})}));
  EXPECT_EQ(cleaned(), "Relu Relu");
}

TEST_F(Cleanup, TwoBatchExtentsKeepTheOperand) {
  const ValueId pairs = b.input("pairs", {kN, kN, 6_d});
  end(b.node(Op::Reshape, {pairs, b.ints({0, 0, 2, 3})}));
  EXPECT_EQ(cleaned(), "Reshape Relu");
  EXPECT_EQ(b.graph.nodes[0].inputs.size(), 2u);
}

TEST_F(Cleanup, AnEmptyExtentKeepsTheOperand) {
  const ValueId none = b.input("none", {kN, 0_d, 6_d});
  end(b.node(Op::Reshape, {none, b.ints({0, 0, 2, 3})}));
  EXPECT_EQ(cleaned(), "Reshape Relu");
  EXPECT_EQ(b.graph.nodes[0].inputs.size(), 2u);
}

TEST_F(Cleanup, AScalarTargetIsEmpty) {
  end(b.node(Op::Squeeze, {b.input("one", {1_d, 1_d}), b.ints({0, 1})}));
  EXPECT_EQ(cleaned(), "Reshape Relu");
  EXPECT_TRUE(b.graph.nodes[0].has("shape"));
  EXPECT_THAT(b.graph.nodes[0].integers("shape"), ElementsAre());
}

// view(B, -1, 12, 64) by TorchScript: Shape, Gather, Unsqueeze and Concat die with the operand.
TEST_F(Cleanup, ShapeArithmeticOfAReshapeDies) {
  const ValueId batch = b.node(Op::Gather, {b.node(Op::Shape, {x}), b.integer(0)});
  const ValueId row = b.node(Op::Unsqueeze, {batch, b.ints({0})});
  const ValueId target = b.node(Op::Concat, {row, b.ints({-1, 2, 2})}, {{"axis", 0}});
  end(b.node(Op::Reshape, {x, target}));
  EXPECT_EQ(cleaned(), "Reshape Relu");
  EXPECT_THAT(b.graph.nodes[0].integers("shape"), ElementsAre(-1, 6, 2, 2));
}

// interpolate(size=…) by the dynamo exporter.
TEST_F(Cleanup, AResizeNamesTheAxesThatChange) {
  const ValueId map = b.node(Op::Relu, {b.input("map", {kN, 3_d, 8_d, 8_d})});
  const ValueId sizes =
      b.node(Op::Concat, {b.node(Op::Shape, {map}, {{"end", 3}}), b.ints({16})}, {{"axis", 0}});
  end(b.node(Op::Resize, {map, kNoValue, kNoValue, sizes}));
  EXPECT_EQ(cleaned(), "Relu Resize Relu");
  const Node* resize = find(b.graph, Op::Resize);
  EXPECT_THAT(resize->integers("axes"), ElementsAre(3));
  EXPECT_THAT(b.graph.constant(resize->inputs[3]).as<int64_t>(), ElementsAre(16));
}

// A computed shape of an inner value is read off the graph input instead.
TEST_F(Cleanup, AShapeOfAnInnerValueBecomesConstantsAndTheBatch) {
  end(b.node(Op::Expand, {b.weight({1, 6, 1}), b.node(Op::Shape, {relu(x)})}));
  EXPECT_EQ(cleaned(), "Shape Concat Expand Relu");
  EXPECT_EQ(b.graph.nodes[0].inputs[0], b.graph.inputs[0]);
}

class ExpandedToken : public Cleanup {
 protected:
  // cls_token.expand(B, -1, -1) by TorchScript.
  ValueId expanded_token() {
    const ValueId batch = b.node(Op::Gather, {b.node(Op::Shape, {x}), b.integer(0)});
    const ValueId row = b.node(Op::Unsqueeze, {batch, b.ints({0})});
    const ValueId wanted = b.node(Op::Concat, {row, b.ints({-1}), b.ints({-1})}, {{"axis", 0}});
    const ValueId flat = b.node(Op::Reshape, {wanted, b.ints({-1})});
    const ValueId ones =
        b.node(Op::ConstantOfShape, {b.node(Op::Shape, {flat})}, {{"value", Tensor::i64({1}, {1})}});
    const ValueId keep = b.node(Op::Equal, {flat, b.node(Op::Mul, {ones, b.integer(-1)})});
    return b.node(Op::Expand, {b.weight({1, 1, 4}), b.node(Op::Where, {keep, ones, flat})});
  }
};

TEST_F(ExpandedToken, ItsTargetIsOneConcat) {
  end(b.node(Op::Concat, {expanded_token(), relu(x)}, {{"axis", 1}}));
  EXPECT_EQ(cleaned(), "Shape Concat Expand Relu Concat Relu");
  EXPECT_EQ(b.graph.nodes[0].inputs[0], b.graph.inputs[0]);
  EXPECT_EQ(b.graph.nodes[0].integer("start", -1), 0);
  EXPECT_EQ(b.graph.nodes[0].integer("end", -1), 1);
  const Value& target = b.graph.value(find(b.graph, Op::Expand)->inputs[1]);
  EXPECT_EQ(to_string(*target.integers), "[N,1,1]");
}

TEST_F(ExpandedToken, TwoOfThemShareTheTarget) {
  end(b.node(Op::Concat, {expanded_token(), expanded_token(), relu(x)}, {{"axis", 1}}));
  EXPECT_EQ(cleaned(), "Shape Concat Expand Expand Relu Concat Relu");
}

TEST_F(ExpandedToken, ASecondCleanupChangesNothing) {
  end(expanded_token());
  const std::string once = cleaned();
  const std::string text = print_graph(b.graph);
  EXPECT_EQ(cleaned(), once);
  EXPECT_EQ(print_graph(b.graph), text);
}

// What PyTorch's exporter makes of a mask that hides nothing: `true` expanded to the batch, chosen by, added.
struct MaskOfOneKind : Cleanup {
  std::string with(bool visible, Op op = Op::Add) {
    Tensor test(DType::kBool, {1, 1, 1});
    test.as_mutable<uint8_t>()[0] = visible;
    const ValueId batch = b.node(Op::Shape, {x}, {{"start", int64_t{0}}, {"end", int64_t{1}}});
    const ValueId shape = b.node(Op::Concat, {batch, b.ints({6, 4})}, {{"axis", int64_t{0}}});
    const ValueId wide = b.node(Op::Expand, {b.constant(std::move(test)), shape});
    const ValueId mask = b.node(Op::Where, {wide, b.real(0), b.real(-1e30f)});
    end(b.node(op, {relu(x), mask}));
    return cleaned();
  }
};
TEST_F(MaskOfOneKind, ThatHidesNothingGoes) { EXPECT_EQ(with(true), "Relu Relu"); }
TEST_F(MaskOfOneKind, ThatHidesAllStays) {
  EXPECT_EQ(with(false), "Shape Concat Expand Where Relu Add Relu");
}
TEST_F(MaskOfOneKind, ThatIsMultipliedStays) {
  EXPECT_EQ(with(true, Op::Mul), "Shape Concat Expand Where Relu Mul Relu");
}
TEST_F(Cleanup, ABiasOfZerosStays) {
  end(b.node(Op::Add, {relu(x), b.constant(Tensor::f32({4}, {0, 0, 0, 0}))}));
  EXPECT_EQ(cleaned(), "Relu Add Relu");
}

TEST_F(Cleanup, DeadWeightsAreFreed) {
  b.node(Op::MatMul, {x, b.weight({4, 100})});
  end(x);
  EXPECT_EQ(cleaned(), "Relu");
  EXPECT_EQ(b.graph.values.size(), 2u);
}

}  // namespace
}  // namespace vitrail::testing
