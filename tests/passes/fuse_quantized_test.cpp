// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_quantized.h"

#include "fusion.h"
#include "graph/attention_scales.h"
#include "passes/fold_constants.h"
#include "passes/fuse_attention.h"
#include "passes/fuse_linear.h"

namespace vitrail::testing {
namespace {

constexpr float kXScale = 0.05f;

class QuantizedBuilder : public GraphBuilder {
 public:
  ValueId zero(DType dtype, int value) {
    Tensor t(dtype, {});
    *static_cast<uint8_t*>(t.mutable_data()) = static_cast<uint8_t>(value);
    return constant(t);
  }
  ValueId quantize(ValueId x, float scale = kXScale, DType dtype = DType::kU8, int zero_point = 120) {
    return node(Op::QuantizeLinear, {x, real(scale), zero(dtype, zero_point)});
  }
  ValueId dequantize(ValueId q, float scale = kXScale, DType dtype = DType::kU8, int zero_point = 120) {
    return node(Op::DequantizeLinear, {q, real(scale), zero(dtype, zero_point)});
  }
  ValueId pair(ValueId x, float scale = kXScale) { return dequantize(quantize(x, scale), scale); }

  // int8 or uint8 numbers of all sizes.
  ValueId numbers(Shape shape, int seed = 1, DType dtype = DType::kI8) {
    Tensor t(dtype, std::move(shape));
    auto out = t.as_mutable<uint8_t>();
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<uint8_t>(i * 37 + static_cast<size_t>(seed) * 11);
    return constant(t);
  }
  ValueId weights(Shape shape, int64_t axis = 1, int seed = 1, float step = 0.001f) {
    Tensor scale(DType::kF32, {shape[static_cast<size_t>(axis)]});
    for (size_t i = 0; i < scale.as<float>().size(); ++i)
      scale.as_mutable<float>()[i] = step * static_cast<float>(i + 1);
    return node(Op::DequantizeLinear, {numbers(std::move(shape), seed), constant(scale)}, {{"axis", axis}});
  }
};

Graph simplified(Graph graph) {
  const Status s = simplify(graph, [](const Node& node, std::span<const Tensor* const> inputs) {
    return evaluate_node(node, inputs);
  });
  EXPECT_TRUE(s.ok()) << s.message();
  return graph;
}

TEST(FuseQuantized, MatMulPerColumnAndPerTensor) {
  for (bool per_tensor : {false, true}) {
    QuantizedBuilder b;
    const ValueId x = b.pair(b.input("x", {kN, 4_d, 6_d}));
    const ValueId w =
        per_tensor ? b.node(Op::DequantizeLinear, {b.numbers({6, 5}), b.real(0.01f), b.zero(DType::kI8, 0)})
                   : b.weights({6, 5});
    b.output(b.node(Op::MatMul, {x, w}), "y");
    const Graph fused = apply(simplified(b.graph), fuse_quantized, 1);
    ASSERT_EQ(fused.nodes.size(), 2u);
    EXPECT_EQ(fused.nodes[0].op, Op::QuantizeLinear);
    const Node& linear = fused.nodes[1];
    ASSERT_EQ(linear.op, Op::QuantizedLinear);
    EXPECT_EQ(linear.input(0), fused.nodes[0].outputs[0]);
    EXPECT_EQ(fused.constant(linear.input(1)).dtype(), DType::kI8);
    EXPECT_EQ(fused.constant(linear.input(2)).shape(), Shape{5});
    EXPECT_EQ(linear.real("x_scale", 0), kXScale);
    EXPECT_EQ(linear.integer("x_zero_point", 0), 120);
  }
}

TEST(FuseQuantized, GemmTransposedWithFactorsAndIntegerBias) {
  QuantizedBuilder b;
  const ValueId x = b.pair(b.input("x", {kN, 6_d}));
  Tensor bias(DType::kI32, {5});
  for (int32_t i = 0; i < 5; ++i) bias.as_mutable<int32_t>()[static_cast<size_t>(i)] = 1000 * i - 2000;
  const ValueId c = b.node(Op::DequantizeLinear, {b.constant(bias), b.real(0.001f)});
  b.output(b.node(Op::Gemm, {x, b.weights({5, 6}, 0), c}, {{"transB", 1}, {"alpha", 0.5f}, {"beta", 2.0f}}),
           "y");
  const Graph fused = apply(simplified(b.graph), fuse_quantized, 1);
  ASSERT_EQ(count(fused, Op::QuantizedLinear), 1);
  EXPECT_EQ(fused.constant(find(fused, Op::QuantizedLinear)->input(3)).shape(), Shape{5});
}

TEST(FuseQuantized, UnsignedWeightsAroundTheMiddleBehindATranspose) {
  QuantizedBuilder b;
  const ValueId x = b.pair(b.input("x", {kN, 4_d, 6_d}));
  const ValueId w = b.node(Op::DequantizeLinear,
                           {b.numbers({5, 6}, 1, DType::kU8), b.real(0.01f), b.zero(DType::kU8, 128)});
  b.output(b.node(Op::MatMul, {x, b.node(Op::Transpose, {w}, {{"perm", Ints{1, 0}}})}), "y");
  const Graph fused = apply(simplified(b.graph), fuse_quantized, 1);
  EXPECT_EQ(fused.nodes.size(), 2u);
}

TEST(FuseQuantized, OneQuantizationServesSeveralProducts) {
  QuantizedBuilder b;
  const ValueId q = b.quantize(b.input("x", {kN, 4_d, 6_d}));
  for (int i = 0; i < 3; ++i) b.output(b.node(Op::MatMul, {b.dequantize(q), b.weights({6, 5}, 1, i)}));
  const Graph fused = apply(simplified(b.graph), fuse_quantized, 3);
  EXPECT_EQ(count(fused, Op::QuantizeLinear), 1);
  EXPECT_EQ(count(fused, Op::DequantizeLinear), 0);
}

// Scales along the summed axis, odd zero points, weights of a float product: these compute in float32.
TEST(FuseQuantized, WhatIsNoIntegerProductKeepsFloatWeights) {
  QuantizedBuilder b;
  const ValueId x = b.input("x", {kN, 4_d, 6_d});
  b.output(b.node(Op::MatMul, {b.pair(x), b.weights({6, 5}, 0)}));
  const ValueId odd = b.node(Op::DequantizeLinear,
                             {b.numbers({6, 5}, 2, DType::kU8), b.real(0.01f), b.zero(DType::kU8, 100)});
  b.output(b.node(Op::MatMul, {b.pair(x), odd}));
  b.output(b.node(Op::MatMul, {x, b.weights({6, 5}, 1, 3)}));
  Graph graph = simplified(b.graph);
  EXPECT_EQ(count(graph, Op::DequantizeLinear), 3)
      << "the two activations, and the weights that may yet fuse";
  const Graph before = graph;
  EXPECT_EQ(fuse_quantized(graph), 0);
  EXPECT_EQ(count(graph, Op::DequantizeLinear), 2);
  expect_same(before, graph);
}

TEST(FuseQuantized, BiasScaleActivationAndResidualMoveIn) {
  QuantizedBuilder b;
  const ValueId x = b.input("x", {kN, 4_d, 6_d});
  const ValueId up =
      b.node(Op::Add, {b.weight({12}, 2), b.node(Op::MatMul, {b.pair(x), b.weights({6, 12})})});
  const ValueId hidden = b.pair(b.node(Op::Gelu, {up}));
  const ValueId down =
      b.node(Op::Add, {b.node(Op::MatMul, {hidden, b.weights({12, 6}, 1, 2)}), b.weight({6}, 3)});
  b.output(b.node(Op::Add, {x, b.node(Op::Mul, {down, b.weight({6}, 4)})}), "y");
  Graph graph = simplified(b.graph);
  const Graph before = graph;
  std::vector<PassReport> reports;
  ASSERT_TRUE(fuse(graph, &reports).ok());
  ASSERT_EQ(graph.nodes.size(), 4u) << print_graph(graph);
  EXPECT_EQ(graph.nodes[1].text("activation", ""), "gelu");
  EXPECT_NE(graph.nodes[1].input(3), kNoValue);
  EXPECT_NE(graph.nodes[3].input(4), kNoValue);
  // A number next to a tie may fall to the other side: one step of the second quantization.
  expect_same(before, graph, 1e-3);
}

// softmax(q kᵀ) v with a pair on every value, as quantize_static writes it.
QuantizedBuilder attention() {
  QuantizedBuilder b;
  const ValueId x = b.quantize(b.input("x", {kN, 5_d, 8_d}));
  ValueId parts[3];
  for (int i = 0; i < 3; ++i) {
    const ValueId p = b.pair(b.node(Op::MatMul, {b.dequantize(x), b.weights({8, 8}, 1, i, 0.0003f)}));
    const ValueId heads = b.node(Op::Reshape, {p, b.ints({-1, 5, 2, 4})});
    parts[i] =
        b.pair(b.node(Op::Transpose, {heads}, {{"perm", i == 1 ? Ints{0, 2, 3, 1} : Ints{0, 2, 1, 3}}}));
  }
  const ValueId scores = b.pair(b.node(Op::MatMul, {parts[0], parts[1]}));
  const ValueId p = b.pair(b.node(Op::Softmax, {scores}), 0.01f);
  const ValueId y = b.pair(b.node(Op::MatMul, {p, parts[2]}));
  const ValueId merged = b.node(Op::Transpose, {y}, {{"perm", Ints{0, 2, 1, 3}}});
  b.output(b.node(Op::Reshape, {merged, b.ints({-1, 5, 8})}), "y");
  return b;
}

TEST(DropFakeQuantization, AttentionFusesOnlyWithoutThePairs) {
  Graph exact = simplified(attention().graph);
  const Graph before = exact;
  ASSERT_TRUE(fuse(exact).ok());
  EXPECT_EQ(count(exact, Op::QuantizedLinear), 3);
  EXPECT_EQ(count(exact, Op::MultiHeadAttention), 0);
  EXPECT_EQ(count(exact, Op::DequantizeLinear), 9);
  expect_same(before, exact, 0.05);

  Graph dropped = before;
  std::vector<PassReport> reports;
  ASSERT_TRUE(fuse(dropped, &reports, {.drop_fake_quantization = true}).ok());
  EXPECT_EQ(reports[2].pass, "drop_fake_quantization");
  EXPECT_EQ(reports[2].changes, 9);
  // One quantization of x, one wide product for q, k and v.
  EXPECT_EQ(count(dropped, Op::QuantizedLinear), 1) << print_graph(dropped);
  EXPECT_EQ(count(dropped, Op::MultiHeadAttention), 1);
  EXPECT_EQ(count(dropped, Op::QuantizeLinear), 1);
  EXPECT_EQ(count(dropped, Op::DequantizeLinear), 0);
  expect_same(before, dropped, 0.1);

  // The products keep their rounding as scales: the softmax's pair has its own.
  const auto scales = attention_scales(*find(dropped, Op::MultiHeadAttention));
  ASSERT_TRUE(scales);
  for (const ByteRange& range : {scales->query, scales->key, scales->value}) {
    EXPECT_EQ(range.scale, kXScale);
    EXPECT_EQ(range.zero, 120);
  }
  EXPECT_EQ(scales->weights.scale, 0.01f);
}

// The factor between a pair and its product belongs to neither.
TEST(FuseQuantized, AttentionScalesAreThoseOfTheSources) {
  QuantizedBuilder b;
  const ValueId x = b.input("x", {kN, 5_d, 8_d});
  ValueId parts[3];
  for (int i = 0; i < 3; ++i) {
    const ValueId heads = b.node(Op::Reshape, {x, b.ints({-1, 5, 2, 4})});
    const ValueId part =
        b.node(Op::Transpose, {heads}, {{"perm", i == 1 ? Ints{0, 2, 3, 1} : Ints{0, 2, 1, 3}}});
    const ValueId given = i < 2 ? b.node(Op::Mul, {part, b.real(0.5f)}) : part;
    parts[i] =
        i == 1 ? b.dequantize(b.quantize(given, 0.03f, DType::kI8, 3), 0.03f, DType::kI8, 3) : b.pair(given);
  }
  const ValueId p = b.pair(b.node(Op::Softmax, {b.node(Op::MatMul, {parts[0], parts[1]})}), 0.01f);
  const ValueId merged =
      b.node(Op::Transpose, {b.node(Op::MatMul, {p, parts[2]})}, {{"perm", Ints{0, 2, 1, 3}}});
  b.output(b.node(Op::Reshape, {merged, b.ints({-1, 5, 8})}), "y");
  Graph graph = simplified(b.graph);
  const Graph before = graph;
  ASSERT_TRUE(fuse(graph, nullptr, {.drop_fake_quantization = true}).ok());
  ASSERT_EQ(count(graph, Op::MultiHeadAttention), 1) << print_graph(graph);
  const auto scales = attention_scales(*find(graph, Op::MultiHeadAttention));
  ASSERT_TRUE(scales);
  EXPECT_EQ(scales->query.scale, 2 * kXScale);
  EXPECT_EQ(scales->key.scale, 0.06f);
  EXPECT_EQ(scales->key.zero, 131);
  EXPECT_EQ(scales->value.scale, kXScale);
  // The reference rounds as the pairs do.
  expect_same(before, graph, 2e-3);
}

TEST(DropFakeQuantization, PairsOfDifferentScalesStayAndOutputsKeepTheirNames) {
  QuantizedBuilder b;
  const ValueId x = b.input("x", {kN, 6_d});
  b.output(b.dequantize(b.quantize(x, 0.1f), 0.2f), "rescaled");
  b.output(b.pair(b.node(Op::Relu, {x})), "y");
  Graph graph = simplified(b.graph);
  EXPECT_EQ(drop_fake_quantization(graph), 1);
  ASSERT_TRUE(cleanup(graph).ok());
  EXPECT_EQ(count(graph, Op::QuantizeLinear), 1);
  EXPECT_EQ(graph.value(graph.outputs[1]).name, "y");
}

// quantize_static leaves a ReLU to the quantization after it.
TEST(DropFakeQuantization, WhatClipsAtZeroBecomesRelu) {
  QuantizedBuilder b;
  const ValueId x = b.pair(b.input("x", {kN, 4_d, 6_d}));
  const ValueId h = b.node(Op::MatMul, {x, b.weights({6, 5})});
  b.output(b.dequantize(b.quantize(h, 0.01f, DType::kI8, -128), 0.01f, DType::kI8, -128), "y");
  const ValueId p = b.node(Op::Softmax, {h}, {{"axis", int64_t{-1}}});
  b.output(b.dequantize(b.quantize(p, 0.01f, DType::kU8, 0), 0.01f, DType::kU8, 0), "p");
  Graph graph = simplified(b.graph);
  const Graph before = graph;
  ASSERT_TRUE(fuse(graph, nullptr, {.drop_fake_quantization = true}).ok());
  EXPECT_EQ(count(graph, Op::Relu), 1) << print_graph(graph);
  EXPECT_EQ(count(graph, Op::DequantizeLinear), 0);
  expect_same(before, graph, 0.05);
}

// NNCF and others quantize the float weights in the graph.
TEST(FuseQuantized, WeightsThatTheGraphQuantizes) {
  QuantizedBuilder b;
  const ValueId x = b.pair(b.input("x", {kN, 6_d}));
  const ValueId scale = b.weight({5}, 2, 0.01f);
  for (float& v : b.graph.value(scale).constant->as_mutable<float>()) v = std::abs(v) + 0.001f;
  const ValueId zeros = b.constant(Tensor(DType::kI8, {5}));
  const Attributes rows{{"axis", int64_t{0}}};
  const ValueId q = b.node(Op::QuantizeLinear, {b.weight({5, 6}), scale, zeros}, rows);
  const ValueId w = b.node(Op::DequantizeLinear, {q, scale, zeros}, rows);
  b.output(b.node(Op::Gemm, {x, w, b.weight({5}, 3)}, {{"transB", 1}}), "y");
  const Graph fused = apply(simplified(b.graph), fuse_quantized, 1);
  EXPECT_EQ(fused.nodes.size(), 2u);
}

}  // namespace
}  // namespace vitrail::testing
