// SPDX-License-Identifier: Apache-2.0
// Shape arithmetic: the integers that chains of Shape, Gather, Concat … compute.
#include "inferred.h"

namespace vitrail::testing {
namespace {

using ::testing::HasSubstr;

class Content : public ::testing::Test {
 protected:
  GraphBuilder b;
  ValueId image = b.input("image", {kN, 3_d, 224_d, 224_d});
  ValueId dims = b.node(Op::Shape, {image});
  ValueId batch = b.node(Op::Gather, {dims, b.integer(0)});  // a scalar
  ValueId vector(ValueId scalar) { return b.node(Op::Unsqueeze, {scalar, b.ints({0})}); }
};

TEST_F(Content, ShapeWithStartAndEnd) {
  EXPECT_EQ(inferred(b, dims), "int64[4]{N,3,224,224}");
  EXPECT_EQ(inferred(b, b.node(Op::Shape, {image}, {{"start", 1}, {"end", -1}})), "int64[2]{3,224}");
  EXPECT_EQ(inferred(b, b.node(Op::Shape, {image}, {{"start", -99}, {"end", 99}})), "int64[4]{N,3,224,224}");
  EXPECT_EQ(inferred(b, b.node(Op::Shape, {image}, {{"start", 3}, {"end", 1}})), "int64[0]{}");
}

TEST_F(Content, Size) { EXPECT_EQ(inferred(b, b.node(Op::Size, {image})), "int64[]{150528N}"); }

TEST_F(Content, Gather) {
  EXPECT_EQ(inferred(b, batch), "int64[]{N}");
  EXPECT_EQ(inferred(b, b.node(Op::Gather, {dims, b.ints({-1, 0, 1})})), "int64[3]{224,N,3}");
}

TEST_F(Content, GatherOutOfRangeIsAnError) {
  EXPECT_THAT(inferred(b, b.node(Op::Gather, {dims, b.integer(4)})),
              HasSubstr("index 4 is outside of axis 0"));
}

TEST_F(Content, Slice) {
  EXPECT_EQ(inferred(b, b.node(Op::Slice, {dims, b.ints({0}), b.ints({2})})), "int64[2]{N,3}");
  EXPECT_EQ(
      inferred(b, b.node(Op::Slice, {dims, b.ints({-1}), b.ints({INT64_MIN}), b.ints({0}), b.ints({-2})})),
      "int64[2]{224,3}");
}

TEST_F(Content, ConcatSqueezeReshapeCastKeepIntegers) {
  const ValueId joined = b.node(Op::Concat, {vector(batch), b.ints({-1, 768})}, {{"axis", 0}});
  EXPECT_EQ(inferred(b, joined), "int64[3]{N,-1,768}");
  EXPECT_EQ(inferred(b, b.node(Op::Squeeze, {vector(batch), b.ints({0})})), "int64[]{N}");
  EXPECT_EQ(inferred(b, b.node(Op::Reshape, {batch, b.ints({-1})})), "int64[1]{N}");
  EXPECT_EQ(inferred(b, b.node(Op::Cast, {dims}, {{"to", 7}})), "int64[4]{N,3,224,224}");
  EXPECT_EQ(inferred(b, b.node(Op::Cast, {dims}, {{"to", 1}})), "float32[4]");
  EXPECT_EQ(inferred(b, b.node(Op::Cast, {dims}, {{"to", 9}})), "bool[4]{1,1,1,1}");
}

TEST_F(Content, CastToInt32KeepsWhatFits) {
  EXPECT_EQ(inferred(b, b.node(Op::Cast, {b.ints({7})}, {{"to", 6}})), "int32[1]{7}");
  EXPECT_EQ(inferred(b, b.node(Op::Cast, {b.ints({int64_t{1} << 31})}, {{"to", 6}})), "int32[1]");
}

TEST_F(Content, ArithmeticThatIsExact) {
  auto with = [&](Op op, ValueId a, ValueId c) { return inferred(b, b.node(op, {a, c})); };
  EXPECT_EQ(with(Op::Add, batch, b.integer(2)), "int64[]{N+2}");
  EXPECT_EQ(with(Op::Sub, b.integer(2), b.integer(5)), "int64[]{-3}");
  EXPECT_EQ(with(Op::Mul, batch, b.integer(196)), "int64[]{196N}");
  EXPECT_EQ(with(Op::Mul, batch, batch), "int64[]");
  EXPECT_EQ(with(Op::Div, b.integer(-7), b.integer(2)), "int64[]{-3}");
  EXPECT_EQ(with(Op::Div, b.node(Op::Mul, {batch, b.integer(196)}), batch), "int64[]{196}");
  EXPECT_EQ(with(Op::Div, batch, b.integer(2)), "int64[]");
  EXPECT_EQ(with(Op::Div, batch, b.integer(0)), "int64[]");
  EXPECT_EQ(with(Op::Mod, b.integer(-7), b.integer(4)), "int64[]{1}");
  EXPECT_EQ(with(Op::Mod, b.node(Op::Mul, {batch, b.integer(8)}), b.integer(4)), "int64[]{0}");
  EXPECT_EQ(with(Op::Min, batch, b.integer(1)), "int64[]{1}");
  EXPECT_EQ(with(Op::Max, batch, b.integer(1)), "int64[]{N}");
  EXPECT_EQ(with(Op::Max, batch, b.integer(2)), "int64[]");
  EXPECT_EQ(inferred(b, b.node(Op::Neg, {batch})), "int64[]{-1N}");
  EXPECT_EQ(inferred(b, b.node(Op::Abs, {b.ints({-4, 4})})), "int64[2]{4,4}");
}

TEST_F(Content, OverflowHasNoAnswer) {
  auto with = [&](Op op, int64_t a, int64_t c) {
    return inferred(b, b.node(op, {b.integer(a), b.integer(c)}));
  };
  EXPECT_EQ(with(Op::Add, INT64_MAX, 1), "int64[]");
  EXPECT_EQ(with(Op::Sub, INT64_MIN, 1), "int64[]");
  EXPECT_EQ(with(Op::Mul, INT64_MAX, 2), "int64[]");
  EXPECT_EQ(with(Op::Div, INT64_MIN, -1), "int64[]");
  EXPECT_EQ(with(Op::Mod, INT64_MIN, -1), "int64[]{0}");
  EXPECT_EQ(with(Op::Equal, INT64_MIN, INT64_MAX), "bool[]{0}");
  EXPECT_EQ(inferred(b, b.node(Op::Neg, {b.integer(INT64_MIN)})), "int64[]");
  EXPECT_EQ(inferred(b, b.node(Op::Equal, {b.node(Op::Mul, {batch, b.integer(-1)}), b.integer(INT64_MIN)})),
            "bool[]");
}

TEST_F(Content, Comparisons) {
  auto with = [&](Op op, ValueId a, ValueId c) { return inferred(b, b.node(op, {a, c})); };
  EXPECT_EQ(with(Op::Equal, batch, b.integer(-1)), "bool[]{0}");
  EXPECT_EQ(with(Op::Equal, batch, b.integer(1)), "bool[]");  // true at N = 1 only
  EXPECT_EQ(with(Op::Equal, batch, batch), "bool[]{1}");
  EXPECT_EQ(with(Op::GreaterOrEqual, batch, b.integer(1)), "bool[]{1}");
  EXPECT_EQ(with(Op::Less, batch, b.integer(1)), "bool[]{0}");
  EXPECT_EQ(with(Op::Greater, batch, b.integer(1)), "bool[]");
  EXPECT_EQ(inferred(b, b.node(Op::Not, {b.node(Op::LessOrEqual, {b.integer(1), batch})})), "bool[]{0}");
}

TEST_F(Content, RangeExpandTileProdSplit) {
  EXPECT_EQ(inferred(b, b.node(Op::Range, {b.integer(1), b.integer(8), b.integer(3)})), "int64[3]{1,4,7}");
  EXPECT_EQ(inferred(b, b.node(Op::Range, {b.integer(3), b.integer(0), b.integer(-2)})), "int64[2]{3,1}");
  EXPECT_EQ(inferred(b, b.node(Op::Range, {b.integer(0), batch, b.integer(1)})), "int64[N]");
  EXPECT_EQ(inferred(b, b.node(Op::Range, {b.real(0), b.real(1), b.real(0.3f)})), "float32[4]");
  EXPECT_EQ(inferred(b, b.node(Op::Expand, {batch, b.ints({3})})), "int64[3]{N,N,N}");
  EXPECT_EQ(inferred(b, b.node(Op::Tile, {b.ints({1, 2}), b.ints({2})})), "int64[4]{1,2,1,2}");
  EXPECT_EQ(inferred(b, b.node(Op::ReduceProd, {dims, b.ints({0})}, {{"keepdims", 0}})), "int64[]{150528N}");
  EXPECT_EQ(inferred(b, b.nodes(Op::Split, {dims, b.ints({1, 3})}, 2)[1]), "int64[3]{3,224,224}");
}

TEST_F(Content, RangeWithoutEndIsAnError) {
  EXPECT_THAT(inferred(b, b.node(Op::Range, {b.integer(0), b.integer(8), b.integer(0)})), HasSubstr("delta"));
}

TEST_F(Content, LongContentIsDropped) {
  EXPECT_EQ(inferred(b, b.node(Op::Range, {b.integer(0), b.integer(5000), b.integer(1)})), "int64[5000]");
  EXPECT_EQ(inferred(b, b.node(Op::ConstantOfShape, {b.ints({int64_t{1} << 39})},
                               {{"value", Tensor::i64({1}, {1})}})),
            "int64[549755813888]");
}

// How the TorchScript exporter writes cls_token.expand(batch, -1, -1).
TEST_F(Content, TorchScriptExpandChain) {
  const ValueId token = b.weight({1, 1, 384});
  const ValueId wanted = b.node(Op::Concat, {vector(batch), b.ints({-1}), b.ints({-1})}, {{"axis", 0}});
  const ValueId flat = b.node(Op::Reshape, {wanted, b.ints({-1})});
  const ValueId length = b.node(Op::Shape, {flat});
  const ValueId ones = b.node(Op::ConstantOfShape, {length}, {{"value", Tensor::i64({1}, {1})}});
  const ValueId minus = b.node(Op::Mul, {ones, b.integer(-1)});
  const ValueId keep = b.node(Op::Equal, {flat, minus});
  const ValueId target = b.node(Op::Where, {keep, ones, flat});
  const ValueId out = b.node(Op::Expand, {token, target});
  EXPECT_EQ(inferred(b, target), "int64[3]{N,1,1}");
  EXPECT_EQ(inferred(b, out), "float32[N,1,384]");
}

}  // namespace
}  // namespace vitrail::testing
