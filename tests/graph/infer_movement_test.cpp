// SPDX-License-Identifier: Apache-2.0
#include "inferred.h"

namespace vitrail::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Movement : public ::testing::Test {
 protected:
  GraphBuilder b;
  ValueId tokens = b.input("tokens", {kN, 197_d, 768_d});
  std::string reshaped(const Ints& target, Attributes attributes = {}) {
    return inferred(b, b.node(Op::Reshape, {tokens, b.ints(target)}, std::move(attributes)));
  }
};

TEST_F(Movement, ReshapeCopiesAndDeduces) {
  EXPECT_EQ(reshaped({0, 0, 12, 64}), "float32[N,197,12,64]");
  EXPECT_EQ(reshaped({-1, 768}), "float32[197N,768]");
  EXPECT_EQ(reshaped({0, -1}), "float32[N,151296]");
  EXPECT_EQ(reshaped({-1, 197, 12, 64}), "float32[N,197,12,64]");
}

TEST_F(Movement, ReshapeBackToTheBatch) {
  const ValueId rows = b.node(Op::Reshape, {tokens, b.ints({-1, 768})});
  EXPECT_EQ(inferred(b, b.node(Op::Reshape, {rows, b.ints({-1, 197, 768})})), "float32[N,197,768]");
  const ValueId batch = b.node(Op::Shape, {tokens}, {{"start", 0}, {"end", 1}});
  const ValueId target = b.node(Op::Concat, {batch, b.ints({-1, 768})}, {{"axis", 0}});
  EXPECT_EQ(inferred(b, b.node(Op::Reshape, {rows, target})), "float32[N,197,768]");
}

TEST_F(Movement, ReshapeWithTwoBatchExtents) {
  const ValueId pairs = b.input("pairs", {kN, kN, 6_d});
  EXPECT_EQ(inferred(b, b.node(Op::Reshape, {pairs, b.ints({0, 0, 2, -1})})), "float32[N,N,2,3]");
}

TEST_F(Movement, ReshapeWithAllowZero) {
  const ValueId none = b.input("none", {0_d, 3_d});
  EXPECT_EQ(inferred(b, b.node(Op::Reshape, {none, b.ints({3, 0})}, {{"allowzero", 1}})), "float32[3,0]");
}

TEST_F(Movement, ReshapeOfAFixedBatchSaysHowToExport) {
  EXPECT_THAT(reshaped({1, 197, 768}), AllOf(HasSubstr("Reshape"), HasSubstr("[N,197,768]"),
                                             HasSubstr("[1,197,768]"), HasSubstr("dynamic batch axis")));
}

TEST_F(Movement, ReshapeWithBadTargets) { EXPECT_THAT(reshaped({-1, -1}), HasSubstr("more than one -1")); }
TEST_F(Movement, ReshapeNegative) { EXPECT_THAT(reshaped({-2, 3}), HasSubstr("negative")); }
TEST_F(Movement, ReshapeCopyBeyondTheInput) { EXPECT_THAT(reshaped({0, 0, 0, 0}), HasSubstr("no axis 3")); }
TEST_F(Movement, ReshapeHuge) { EXPECT_THAT(reshaped({INT64_MAX, INT64_MAX, -1}), HasSubstr("Reshape")); }
TEST_F(Movement, ReshapeNotDivisible) { EXPECT_THAT(reshaped({-1, 7, 11}), HasSubstr("does not fit")); }

TEST_F(Movement, ReshapeNotDivisibleWithoutBatch) {
  EXPECT_THAT(inferred(b, b.node(Op::Reshape, {b.input("seven", {7_d}), b.ints({-1, 3})})), HasSubstr("does not fit"));
}

TEST_F(Movement, ResolvedReshapeTakesItsTargetFromTheAttribute) {
  EXPECT_EQ(inferred(b, b.node(Op::Reshape, {tokens}, {{"shape", Ints{-1, 197, 12, 64}}})),
            "float32[N,197,12,64]");
  const ValueId one = b.input("one", {1_d});
  EXPECT_EQ(inferred(b, b.node(Op::Reshape, {one}, {{"shape", Ints{}}})), "float32[]");
}

TEST_F(Movement, ResolvedReshapeWithoutAttributeKeepsItsShape) {
  const ValueId out = b.node(Op::Reshape, {tokens});
  b.graph.value(out).shape = SymShape{kN, 768_d, 197_d};
  EXPECT_EQ(inferred(b, out), "float32[N,768,197]");
}

TEST_F(Movement, FlattenSqueezeUnsqueeze) {
  EXPECT_EQ(inferred(b, b.node(Op::Flatten, {tokens})), "float32[N,151296]");
  EXPECT_EQ(inferred(b, b.node(Op::Flatten, {tokens}, {{"axis", -1}})), "float32[197N,768]");
  EXPECT_EQ(inferred(b, b.node(Op::Flatten, {tokens}, {{"axis", 3}})), "float32[151296N,1]");
  const ValueId wide = b.node(Op::Unsqueeze, {tokens, b.ints({-1, 1})});
  EXPECT_EQ(inferred(b, wide), "float32[N,1,197,768,1]");
  EXPECT_EQ(inferred(b, b.node(Op::Squeeze, {wide, b.ints({1, -1})})), "float32[N,197,768]");
}

TEST_F(Movement, SqueezeOfALongAxisIsAnError) {
  EXPECT_THAT(inferred(b, b.node(Op::Squeeze, {tokens, b.ints({1})})), HasSubstr("extent 197"));
}
TEST_F(Movement, SqueezeWithoutAxesDependsOnTheBatch) {
  EXPECT_THAT(inferred(b, b.node(Op::Squeeze, {tokens})), HasSubstr("name the axes"));
}
TEST_F(Movement, SqueezeWithoutAxesOfFixedExtents) {
  const ValueId x = b.input("x", {1_d, 3_d, 1_d});
  EXPECT_EQ(inferred(b, b.node(Op::Squeeze, {x})), "float32[3]");
}
TEST_F(Movement, UnsqueezeTwiceTheSameAxis) {
  EXPECT_THAT(inferred(b, b.node(Op::Unsqueeze, {tokens, b.ints({0, 0})})), HasSubstr("named twice"));
}

TEST_F(Movement, ConcatAddsUp) {
  const ValueId one = b.input("one", {kN, 1_d, 768_d});
  EXPECT_EQ(inferred(b, b.node(Op::Concat, {one, tokens}, {{"axis", 1}})), "float32[N,198,768]");
  EXPECT_EQ(inferred(b, b.node(Op::Concat, {one, one}, {{"axis", 0}})), "float32[2N,1,768]");
}
TEST_F(Movement, ConcatOfAFixedBatch) {
  const ValueId one = b.input("one", {1_d, 1_d, 768_d});
  EXPECT_THAT(inferred(b, b.node(Op::Concat, {one, tokens}, {{"axis", 1}})),
              AllOf(HasSubstr("[1,1,768], [N,197,768]"), HasSubstr("axis 0")));
}
TEST_F(Movement, ConcatAxisOutOfRange) {
  EXPECT_THAT(inferred(b, b.node(Op::Concat, {tokens}, {{"axis", INT64_MIN}})), HasSubstr("outside"));
}

TEST_F(Movement, SliceClampsAndCounts) {
  auto sliced = [&](int64_t start, int64_t end, int64_t axis, int64_t step) {
    return inferred(
        b, b.node(Op::Slice, {tokens, b.ints({start}), b.ints({end}), b.ints({axis}), b.ints({step})}));
  };
  EXPECT_EQ(sliced(1, INT64_MAX, 1, 1), "float32[N,196,768]");
  EXPECT_EQ(sliced(-5, 2147483647, 1, 1), "float32[N,5,768]");
  EXPECT_EQ(sliced(0, 100, 1, 3), "float32[N,34,768]");
  EXPECT_EQ(sliced(INT64_MAX, INT64_MIN, 1, -1), "float32[N,197,768]");
  EXPECT_EQ(sliced(50, 20, 1, 1), "float32[N,0,768]");
  EXPECT_EQ(sliced(0, INT64_MAX, 0, 1), "float32[N,197,768]");
  EXPECT_EQ(sliced(0, -1, 0, 1), "float32[N-1,197,768]");
  EXPECT_EQ(sliced(0, 1, 0, 1), "float32[1,197,768]");
  EXPECT_EQ(sliced(0, 3, 0, 1), "float32[?]");  // min(3, N)
  EXPECT_THAT(sliced(0, 3, 1, 0), HasSubstr("step"));
}
TEST_F(Movement, SliceAxisOutOfRange) {
  EXPECT_THAT(inferred(b, b.node(Op::Slice, {tokens, b.ints({0}), b.ints({1}), b.ints({3})})),
              HasSubstr("axis 3"));
}
TEST_F(Movement, SliceOperandsOfSeveralLengths) {
  EXPECT_THAT(inferred(b, b.node(Op::Slice, {tokens, b.ints({0, 0}), b.ints({1})})),
              HasSubstr("2 starts, 1 ends"));
}

TEST_F(Movement, SplitForms) {
  EXPECT_EQ(inferred(b, b.nodes(Op::Split, {tokens}, 3, {{"axis", 2}})[2]), "float32[N,197,256]");
  EXPECT_EQ(inferred(b, b.nodes(Op::Split, {tokens}, 2, {{"axis", 1}, {"num_outputs", 2}})[1]),
            "float32[N,98,768]");
  EXPECT_EQ(inferred(b, b.nodes(Op::Split, {tokens, b.ints({1, 196})}, 2, {{"axis", 1}})[1]),
            "float32[N,196,768]");
}
TEST_F(Movement, SplitThatDoesNotAddUp) {
  EXPECT_THAT(inferred(b, b.nodes(Op::Split, {tokens, b.ints({1, 197})}, 2, {{"axis", 1}})[1]),
              HasSubstr("add up"));
}
TEST_F(Movement, SplitNegative) {
  EXPECT_THAT(inferred(b, b.nodes(Op::Split, {tokens, b.ints({-1, 198})}, 2, {{"axis", 1}})[1]),
              HasSubstr("add up"));
}
TEST_F(Movement, SplitOfTheBatch) {
  EXPECT_THAT(inferred(b, b.nodes(Op::Split, {tokens}, 2)[1]), HasSubstr("2 equal parts"));
}

TEST_F(Movement, ExpandTileTransposeGather) {
  EXPECT_EQ(inferred(b, b.node(Op::Expand, {b.weight({1, 1, 768}), b.node(Op::Shape, {tokens})})),
            "float32[N,197,768]");
  EXPECT_EQ(inferred(b, b.node(Op::Tile, {tokens, b.ints({2, 1, 1})})), "float32[2N,197,768]");
  EXPECT_EQ(inferred(b, b.node(Op::Transpose, {tokens}, {{"perm", Ints{0, 2, 1}}})), "float32[N,768,197]");
  EXPECT_EQ(inferred(b, b.node(Op::Transpose, {tokens})), "float32[768,197,N]");
  EXPECT_EQ(inferred(b, b.node(Op::Gather, {tokens, b.integer(0)}, {{"axis", 1}})), "float32[N,768]");
  EXPECT_EQ(inferred(b, b.node(Op::Gather, {b.weight({49, 3}), b.input("i", {7_d, 7_d}, DType::kI64)})),
            "float32[7,7,3]");
}
TEST_F(Movement, ExpandMismatch) {
  EXPECT_THAT(inferred(b, b.node(Op::Expand, {tokens, b.ints({5, 1, 1})})), HasSubstr("cannot be expanded"));
}
TEST_F(Movement, TransposeNotAPermutation) {
  EXPECT_THAT(inferred(b, b.node(Op::Transpose, {tokens}, {{"perm", Ints{0, 1, 1}}})), HasSubstr("twice"));
}
TEST_F(Movement, TileHuge) {
  EXPECT_THAT(inferred(b, b.node(Op::Tile, {tokens, b.ints({1, int64_t{1} << 38, int64_t{1} << 38})})),
              HasSubstr("cannot be"));
}
TEST_F(Movement, TileNegative) {
  EXPECT_THAT(inferred(b, b.node(Op::Tile, {tokens, b.ints({1, -1, 1})})), HasSubstr("negative"));
}

TEST_F(Movement, PadForms) {
  EXPECT_EQ(inferred(b, b.node(Op::Pad, {tokens, b.ints({0, 1, 0, 0, 2, -8})})), "float32[N,200,760]");
  EXPECT_EQ(inferred(b, b.node(Op::Pad, {tokens, b.ints({1, 2}), kNoValue, b.ints({-2})})),
            "float32[N,200,768]");
}
TEST_F(Movement, PadWithTooFewPads) {
  EXPECT_THAT(inferred(b, b.node(Op::Pad, {tokens, b.ints({1, 1})})), HasSubstr("2 pads for 3 axes"));
}
TEST_F(Movement, PadToNothing) {
  EXPECT_THAT(inferred(b, b.node(Op::Pad, {tokens, b.ints({0, -99, 0, 0, -99, 0})})), HasSubstr("negative"));
}

TEST_F(Movement, Blocks) {
  const ValueId map = b.input("map", {kN, 64_d, 8_d, 8_d});
  EXPECT_EQ(inferred(b, b.node(Op::DepthToSpace, {map}, {{"blocksize", 4}})), "float32[N,4,32,32]");
  EXPECT_EQ(inferred(b, b.node(Op::SpaceToDepth, {map}, {{"blocksize", 4}})), "float32[N,1024,2,2]");
  EXPECT_THAT(inferred(b, b.node(Op::SpaceToDepth, {map}, {{"blocksize", 3}})), HasSubstr("multiples"));
}

TEST_F(Movement, ConstantOfShapeHuge) {
  EXPECT_THAT(inferred(b, b.node(Op::ConstantOfShape, {b.ints({INT64_MAX, 2})})), HasSubstr("cannot be"));
}

}  // namespace
}  // namespace vitrail::testing
