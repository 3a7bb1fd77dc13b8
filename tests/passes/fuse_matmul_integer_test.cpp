// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_matmul_integer.h"

#include "fusion.h"

namespace vitrail::testing {
namespace {

constexpr int64_t kInt32 = 6, kFloat32 = 1;

// Cast(MatMul(x − x₀, W)) with the zero point of x a constant or computed.
struct IntegerProduct {
  GraphBuilder b;

  explicit IntegerProduct(int32_t largest, bool dynamic, bool reads_sums = false) {
    const ValueId x = b.input("x", {kN, 4_d, 6_d});
    const ValueId scale = b.real(0.05f);
    Tensor zero(DType::kU8, {1});
    zero.as_mutable<uint8_t>()[0] = 117;
    const ValueId q = b.node(Op::QuantizeLinear, {x, scale, b.constant(zero)});
    ValueId z = b.constant(zero);
    if (dynamic) {  // some number of x
      const ValueId most = b.node(Op::ReduceMax, {q}, {{"keepdims", int64_t{0}}});
      z = b.node(Op::Reshape, {most, b.ints({1})});
    }
    const auto widen = [&](ValueId v) { return b.node(Op::Cast, {v}, {{"to", kInt32}}); };
    Tensor w(DType::kI32, {6, 5});
    for (int32_t i = 0; i < 30; ++i) w.as_mutable<int32_t>()[static_cast<size_t>(i)] = (i * 37 + 11) % 256 - 128;
    w.as_mutable<int32_t>()[7] = largest;
    const ValueId sum =
        b.node(Op::MatMul, {b.node(Op::Sub, {widen(q), widen(z)}), b.constant(w)});
    if (reads_sums) b.output(sum);
    b.output(b.node(Op::Cast, {sum}, {{"to", kFloat32}}), "y");
  }
};

Graph simplified(Graph graph) {
  const Status s = simplify(graph, [](const Node& node, std::span<const Tensor* const> inputs) {
    return evaluate_node(node, inputs);
  });
  EXPECT_TRUE(s.ok()) << s.message();
  return graph;
}

TEST(FuseMatMulInteger, KnownZeroPointIsOneProduct) {
  const Graph before = simplified(IntegerProduct(127, false).b.graph);
  Graph graph = before;
  ASSERT_EQ(fuse_matmul_integer(graph), 1);
  ASSERT_EQ(graph.nodes.size(), 2u) << print_graph(graph);
  EXPECT_EQ(graph.nodes[1].integer("x_zero_point", 0), 117);
  ASSERT_TRUE(infer_shapes(graph).ok());
  expect_same(before, graph, 0);
}

TEST(FuseMatMulInteger, ComputedZeroPointLeavesTheSum) {
  const Graph before = simplified(IntegerProduct(-128, true).b.graph);
  Graph graph = before;
  ASSERT_EQ(fuse_matmul_integer(graph), 1);
  EXPECT_EQ(count(graph, Op::MatMul), 0);
  EXPECT_EQ(count(graph, Op::QuantizedLinear), 1);
  ASSERT_TRUE(infer_shapes(graph).ok());
  expect_same(before, graph, 0);
}

TEST(FuseMatMulInteger, WeightsBeyondInt8AndReadSumsStay) {
  Graph wide = simplified(IntegerProduct(128, false).b.graph);
  EXPECT_EQ(fuse_matmul_integer(wide), 0);
  Graph read = simplified(IntegerProduct(127, false, true).b.graph);
  EXPECT_EQ(fuse_matmul_integer(read), 0);
}

}  // namespace
}  // namespace vitrail::testing
