// SPDX-License-Identifier: Apache-2.0
#include "inferred.h"

namespace vitrail::testing {
namespace {

using ::testing::HasSubstr;

struct InferIndex : ::testing::Test {
  GraphBuilder b;
  ValueId x = b.input("x", {kN, 6_d, 4_d});
};

TEST_F(InferIndex, Gathering) {
  const ValueId pairs = b.input("pairs", {kN, 5_d, 2_d}, DType::kI64);
  EXPECT_EQ(inferred(b, b.node(Op::GatherND, {x, pairs})), "float32[N,5,4]");
  EXPECT_EQ(inferred(b, b.node(Op::GatherND, {x, pairs}, {{"batch_dims", int64_t{1}}})), "float32[N,5]");
  const ValueId like = b.input("like", {kN, 2_d, 4_d}, DType::kI64);
  EXPECT_EQ(inferred(b, b.node(Op::GatherElements, {x, like}, {{"axis", int64_t{1}}})), "float32[N,2,4]");
  EXPECT_THAT(inferred(b, b.node(Op::GatherND, {x, pairs}, {{"batch_dims", int64_t{2}}})),
              HasSubstr("do not fit"));
}

TEST_F(InferIndex, ScatteringKeepsTheShape) {
  const ValueId at = b.input("at", {3_d, 2_d}, DType::kI64), y = b.input("y", {3_d, 4_d});
  EXPECT_EQ(inferred(b, b.node(Op::ScatterND, {x, at, y})), "float32[N,6,4]");
}

TEST_F(InferIndex, TriluKeepsTheShape) {
  EXPECT_EQ(inferred(b, b.node(Op::Trilu, {x, b.ints({1})})), "float32[N,6,4]");
  EXPECT_THAT(inferred(b, b.node(Op::Trilu, {b.ints({1, 2, 3})})), HasSubstr("two axes"));
}

TEST_F(InferIndex, TopKAndIsNaN) {
  const auto top = b.nodes(Op::TopK, {x, b.ints({2})}, 2, {{"axis", int64_t{1}}});
  EXPECT_EQ(inferred(b, top[0]), "float32[N,2,4]");
  EXPECT_EQ(inferred(b, top[1]), "int64[N,2,4]");
  EXPECT_EQ(inferred(b, b.node(Op::IsNaN, {x})), "bool[N,6,4]");
}

}  // namespace
}  // namespace vitrail::testing
