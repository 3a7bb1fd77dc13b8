// SPDX-License-Identifier: Apache-2.0
#include "passes/quantization_report.h"

#include <gmock/gmock.h>

#include "fusion.h"

namespace vitrail::testing {
namespace {

using ::testing::HasSubstr;

class Builder : public GraphBuilder {
 public:
  ValueId bytes(Shape shape, DType dtype, uint8_t step = 37) {
    Tensor t(dtype, std::move(shape));
    uint8_t v = 0;
    for (uint8_t& b : t.as_mutable<uint8_t>()) b = v = static_cast<uint8_t>(v + step);
    return constant(t);
  }
  ValueId filled(Shape shape, DType dtype, uint8_t value) {
    Tensor t(dtype, std::move(shape));
    for (uint8_t& b : t.as_mutable<uint8_t>()) b = value;
    return constant(t);
  }
  ValueId pair(ValueId x) {
    const ValueId zero = filled({}, DType::kU8, 120);
    return node(Op::DequantizeLinear, {node(Op::QuantizeLinear, {x, real(0.05f), zero}), real(0.05f), zero});
  }
};

// The report of a graph, as inspect_model() makes it.
QuantizationReport report_of(const Graph& imported) {
  QuantizationReport report = describe_quantization(imported);
  Graph graph = imported;
  const Status s = simplify(graph, [](const Node& node, std::span<const Tensor* const> inputs) {
    return evaluate_node(node, inputs);
  });
  EXPECT_TRUE(s.ok()) << s.message();
  find_integer_products(graph, report);
  return report;
}

TEST(QuantizationReport, FloatModelsHaveNone) {
  Builder b;
  b.output(b.node(Op::MatMul, {b.input("x", {kN, 6_d}), b.weight({6, 5}, 1)}), "y");
  EXPECT_TRUE(report_of(b.graph).products.empty());
}

TEST(QuantizationReport, EachProductWithItsReason) {
  Builder b;
  const ValueId x = b.input("x", {kN, 6_d});
  const auto product = [&](ValueId left, ValueId right) { b.output(b.node(Op::MatMul, {left, right})); };
  const auto weights = [&](DType dtype, ValueId scale, ValueId zero = kNoValue, Attributes attributes = {}) {
    return b.node(Op::DequantizeLinear, {b.bytes({6, 5}, dtype), scale, zero}, std::move(attributes));
  };
  product(b.pair(x), weights(DType::kI8, b.real(0.01f)));
  product(b.pair(x), weights(DType::kU8, b.real(0.01f), b.filled({}, DType::kU8, 100)));
  product(b.pair(x), weights(DType::kI8, b.weight({6}, 1), kNoValue, {{"axis", int64_t{0}}}));
  product(b.pair(x), weights(DType::kI8, b.weight({3, 5}, 1), kNoValue, {{"axis", int64_t{0}}, {"block_size", int64_t{2}}}));
  product(x, weights(DType::kI8, b.real(0.01f)));
  product(b.pair(x), b.weight({6, 5}, 1));
  product(x, b.weight({6, 5}, 1));
  const ValueId eight = b.filled({}, DType::kF8E4M3, 0);
  product(b.pair(x), weights(DType::kF8E4M3, b.real(0.01f), eight));

  const QuantizationReport report = report_of(b.graph);
  ASSERT_EQ(report.products.size(), 8u);
  const char* reasons[] = {"", "zero point 100", "axis that is summed", "block of 2", "activation is not quantized",
                           "right side is not quantized", "does not quantize it", "float8_e4m3fn"};
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(report.products[i].integer, i == 0);
    EXPECT_THAT(report.products[i].reason, HasSubstr(reasons[i]));
  }
  EXPECT_EQ(report.products[0].activation, "uint8 per tensor");
  EXPECT_EQ(report.products[2].weights, "int8 per channel");
  EXPECT_EQ(report.weight_bytes, 6 * 30);
  EXPECT_TRUE(report.has_float8);
}

}  // namespace
}  // namespace vitrail::testing
