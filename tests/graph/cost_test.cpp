// SPDX-License-Identifier: Apache-2.0
#include "graph/cost.h"

#include "graph/inferred.h"

namespace vitrail::testing {
namespace {

TEST(Cost, OfALinearLayer) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 9_d, 16_d});
  const ValueId y = b.node(Op::Linear, {x, b.weight({16, 48}), kNoValue, kNoValue}, {}, "linear");
  b.output(y);
  ASSERT_EQ(inferred(b, y), "float32[N,9,48]");
  const Node& node = b.graph.nodes.back();
  EXPECT_EQ(flops(b.graph, node, 3), 2.0 * 3 * 9 * 16 * 48);
  EXPECT_EQ(activation_bytes(b.graph, node, 3), 4 * 3 * 9 * 48);
  // Its rows and its result once for each image, its weights once.
  EXPECT_EQ(traffic_bytes(b.graph, node, 3), 4.0 * (3 * 9 * 16 + 16 * 48 + 3 * 9 * 48));
}

}  // namespace
}  // namespace vitrail::testing
