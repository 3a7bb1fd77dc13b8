// SPDX-License-Identifier: Apache-2.0
// How quantized operators are restated; tests/cli/test_quantized_operators.py compares their results with ONNX Runtime's.
#include "model_builder.h"

namespace vitrail::testing_import {
namespace {

using ::testing::ElementsAre;

constexpr int32_t kInt8 = 3, kUInt8 = 2, kInt32 = 6, kFloat8E4M3 = 17;

using QuantizedOperators = ImportTest;

std::vector<Op> ops(const Graph& graph) {
  std::vector<Op> list;
  for (const Node& node : graph.nodes) list.push_back(node.op);
  return list;
}

void add_bytes(ModelBuilder& m, const std::string& name, const std::vector<int64_t>& dims, int32_t type) {
  m.initializer(name, dims, type).set_raw_data(std::string(static_cast<size_t>(element_count(dims)), '\1'));
}

ModelBuilder quantized_product(const std::string& op) {
  ModelBuilder m;
  m.input("x", {"batch", 3}, kUInt8).output("y");
  m.floats("s", {}, {0.5f});
  m.floats("ws", {2}, {0.5f, 0.25f});
  add_bytes(m, "z", {}, kUInt8);
  add_bytes(m, "w", {3, 2}, kInt8);
  add_bytes(m, "wz", {2}, kInt8);
  m.node(op, {"x", "s", "z", "w", "ws", "wz", "s", "z"}, {"y"}, "layer");
  return m;
}

TEST_F(QuantizedOperators, QLinearMatMulIsAProductBetweenPairs) {
  const Graph graph = import_ok(quantized_product("QLinearMatMul"));
  EXPECT_EQ(report_.quantized_operators, 1);
  EXPECT_THAT(ops(graph),
              ElementsAre(Op::DequantizeLinear, Op::DequantizeLinear, Op::MatMul, Op::QuantizeLinear));
  EXPECT_EQ(graph.nodes[2].name, "layer");
  EXPECT_EQ(graph.nodes[1].integer("axis", 0), -1) << "scales of the weights lie along their columns";
  EXPECT_EQ(graph.value(graph.outputs[0]).name, "y");
  EXPECT_EQ(graph.nodes[3].outputs[0], graph.outputs[0]);
}

TEST_F(QuantizedOperators, QGemmHasABiasInTheScaleOfItsSums) {
  ModelBuilder m = quantized_product("QGemm");
  onnx::NodeProto& node = *m.graph().mutable_node(0);
  node.set_domain("com.microsoft");
  node.mutable_input()->DeleteSubrange(6, 2);
  node.add_input("b");
  add_bytes(m, "b", {2}, kInt32);
  m.graph().mutable_initializer(m.graph().initializer_size() - 1)->set_raw_data(std::string(8, '\1'));
  set_float(node, "alpha", 0.5f);
  const Graph graph = import_ok(m);
  EXPECT_EQ(graph.nodes.back().op, Op::Gemm) << "without an output scale it writes floats";
  EXPECT_EQ(graph.nodes.back().inputs.size(), 3u);
  EXPECT_EQ(graph.nodes.back().real("alpha", 1), 0.5f);
}

TEST_F(QuantizedOperators, Float8OfTensorRt) {
  ModelBuilder m;
  m.input("x", {"batch", 3}).output("y");
  m.floats("s", {}, {0.5f});
  add_bytes(m, "w", {3, 2}, kUInt8);  // bytes that are float8e4m3fn
  m.node("TRT_FP8QuantizeLinear", {"x", "s"}, {"q"}).set_domain("trt");
  m.node("TRT_FP8DequantizeLinear", {"q", "s"}, {"xd"}).set_domain("trt");
  m.node("TRT_FP8DequantizeLinear", {"w", "s"}, {"wd"}).set_domain("trt");
  m.node("MatMul", {"xd", "wd"}, {"y"});
  const Graph graph = import_ok(m);
  EXPECT_EQ(report_.quantized_operators, 0) << "pairs under another name";
  EXPECT_EQ(graph.value(graph.find("w")).dtype, DType::kF8E4M3);
  EXPECT_EQ(graph.nodes[0].integer("output_dtype", 0), kFloat8E4M3);
}

TEST_F(QuantizedOperators, MalformedOnesAreErrorsThatNameTheLayer) {
  ModelBuilder few = quantized_product("QLinearMatMul");
  few.graph().mutable_node(0)->mutable_input()->RemoveLast();
  expect_error(few, {"'layer'", "QLinearMatMul", "7 inputs, needs 8"});
  ModelBuilder bare = quantized_product("QLinearMatMul");
  bare.graph().mutable_node(0)->set_input(7, "");
  expect_error(bare, {"'layer'", "zero point of its output"});
  ModelBuilder last = quantized_product("QLinearConv");
  set_int(*last.graph().mutable_node(0), "channels_last", 1);
  expect_error(last, {"'layer'", "channels last"});
  ModelBuilder small;
  small.input("x", {"batch", 3}).output("y");
  small.initializer("w", {2}, 22).set_raw_data("\1");
  small.node("Identity", {"w"}, {"y"});
  expect_error(small, {"'w'", "int4", "8 bits"});
}

}  // namespace
}  // namespace vitrail::testing_import
