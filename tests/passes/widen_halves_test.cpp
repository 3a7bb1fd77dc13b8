// SPDX-License-Identifier: Apache-2.0
#include "passes/widen_halves.h"

#include "core/half.h"
#include "fusion.h"

namespace vitrail::testing {
namespace {

constexpr int64_t kFloat16 = 10, kFloat32 = 1;

Tensor halves(const Shape& shape, const std::vector<float>& values) {
  std::vector<uint16_t> bits;
  for (float v : values) bits.push_back(float_to_half(v));
  return Tensor::from<uint16_t>(DType::kF16, shape, std::span<const uint16_t>(bits));
}

TEST(WidenHalves, WeightsExactlyInputsAndOutputsToo) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 2_d}, DType::kF16), w = b.constant(halves({2, 2}, {1, 2, 0.1f, -65504}));
  const ValueId y = b.node(Op::MatMul, {x, w});
  b.output(b.node(Op::Cast, {b.node(Op::Cast, {y}, {{"to", kFloat32}})}, {{"to", kFloat16}}), "y");
  EXPECT_EQ(widen_halves(b.graph), DType::kF16);
  ASSERT_TRUE(infer_shapes(b.graph).ok());
  for (const Value& v : b.graph.values) EXPECT_EQ(v.dtype, DType::kF32) << v.name;
  EXPECT_THAT(b.graph.constant(w).as<float>(), ::testing::ElementsAre(1, 2, half_to_float(float_to_half(0.1f)), -65504));
  ASSERT_TRUE(cleanup(b.graph).ok());
  EXPECT_EQ(b.graph.nodes.size(), 1u) << "casts to the same type are gone";
}

TEST(WidenHalves, FloatModelsThatRoundOnTheWayStay) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 2_d});
  b.output(b.node(Op::Cast, {b.node(Op::Cast, {x}, {{"to", kFloat16}})}, {{"to", kFloat32}}), "y");
  EXPECT_EQ(widen_halves(b.graph), DType::kUndefined);
  EXPECT_EQ(b.graph.nodes[0].integer("to", 0), kFloat16);
}

TEST(WidenHalves, QuantizedModelsKeepTheirScales) {
  GraphBuilder b;
  const ValueId scale = b.constant(halves({2}, {0.5f, 0.25f}));
  b.output(b.node(Op::QuantizeLinear, {b.input("x", {kN, 2_d}, DType::kF16), scale}), "y");
  EXPECT_EQ(widen_halves(b.graph), DType::kUndefined);
  EXPECT_EQ(b.graph.constant(scale).dtype(), DType::kF16);
}

}  // namespace
}  // namespace vitrail::testing
