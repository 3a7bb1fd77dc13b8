// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_patch_embed.h"
#include "fusion.h"

namespace vitrail::testing {
namespace {

constexpr int64_t kChannels = 5;

// [N,3,8,8] in patches of 4: four tokens of five channels.
ValueId tokens(GraphBuilder& b, Ints strides = {4, 4}) {
  const ValueId x = b.input("x", {kN, 3_d, 8_d, 8_d});
  const ValueId grid =
      b.node(Op::Conv, {x, b.weight({kChannels, 3, 4, 4}), b.weight({kChannels}, 2)}, {{"strides", strides}});
  const int64_t patches = strides[0] == 4 ? 4 : 9;
  return b.node(Op::Transpose, {b.node(Op::Reshape, {grid, b.ints({-1, kChannels, patches})})},
                {{"perm", Ints{0, 2, 1}}});
}

ValueId repeated(GraphBuilder& b, int64_t rows, float seed) {
  const ValueId shape = b.node(
      Op::Concat, {b.node(Op::Shape, {b.graph.inputs[0]}, {{"end", int64_t{1}}}), b.ints({rows, kChannels})},
      {{"axis", int64_t{0}}});
  return b.node(Op::Expand, {b.weight({1, rows, kChannels}, seed), shape});
}

TEST(FusePatchEmbed, ClassTokenThenPosition) {
  GraphBuilder b;
  const ValueId patches = tokens(b);
  const ValueId all = b.node(Op::Concat, {repeated(b, 1, 3), patches}, {{"axis", int64_t{1}}});
  b.output(b.node(Op::Add, {all, b.weight({1, 5, kChannels}, 4)}));
  const Graph fused = apply(b.graph, fuse_patch_embed, 1);
  ASSERT_EQ(fused.nodes.size(), 1u) << print_graph(fused);
  EXPECT_EQ(fused.nodes[0].integer("prefix", 0), 1);
}

// As CLIP in transformers and tables without a batch axis have them.
TEST(FusePatchEmbed, TokensOfFewerAxes) {
  for (const Shape& shape : {Shape{kChannels}, Shape{1, kChannels}}) {
    GraphBuilder b;
    const ValueId patches = tokens(b);
    const ValueId to = b.node(Op::Concat, {b.node(Op::Shape, {b.graph.inputs[0]}, {{"end", int64_t{1}}}), b.ints({1, kChannels})},
                              {{"axis", int64_t{0}}});
    b.output(b.node(Op::Concat, {b.node(Op::Expand, {b.weight(shape, 3), to}), patches}, {{"axis", int64_t{1}}}));
    const Graph fused = apply(b.graph, fuse_patch_embed, 1);
    ASSERT_EQ(fused.nodes.size(), 1u) << print_graph(fused);
    EXPECT_EQ(fused.nodes[0].integer("prefix", 0), 1);
  }
  GraphBuilder b;  // a row that the tokens repeat is no table of them
  const ValueId patches = tokens(b);
  const ValueId to = b.node(Op::Concat, {b.node(Op::Shape, {b.graph.inputs[0]}, {{"end", int64_t{1}}}), b.ints({3, kChannels})},
                            {{"axis", int64_t{0}}});
  b.output(b.node(Op::Concat, {b.node(Op::Expand, {b.weight({kChannels}, 3), to}), patches}, {{"axis", int64_t{1}}}));
  EXPECT_EQ(apply(b.graph, fuse_patch_embed, 1).nodes.back().op, Op::Concat);
}

TEST(FusePatchEmbed, PositionThenClassAndRegisterTokens) {
  GraphBuilder b;
  const ValueId placed = b.node(Op::Add, {b.weight({1, 4, kChannels}, 4), tokens(b)});
  b.output(b.node(Op::Concat, {repeated(b, 1, 3), repeated(b, 4, 5), placed}, {{"axis", int64_t{1}}}));
  const Graph fused = apply(b.graph, fuse_patch_embed, 1);
  ASSERT_EQ(fused.nodes.size(), 1u) << print_graph(fused);
  EXPECT_EQ(fused.nodes[0].integer("prefix", 0), 5);
}

TEST(FusePatchEmbed, TokensAfterThePatchesStayApart) {
  GraphBuilder b;
  const ValueId patches = tokens(b);
  b.output(b.node(Op::Concat, {patches, repeated(b, 1, 3)}, {{"axis", int64_t{1}}}));
  EXPECT_EQ(apply(b.graph, fuse_patch_embed, 1).nodes.back().op, Op::Concat);
}

TEST(FusePatchEmbed, OverlappingPatchesStayAConvolution) {
  GraphBuilder b;
  b.output(tokens(b, {2, 2}));
  apply(b.graph, fuse_patch_embed, 0);
}

}  // namespace
}  // namespace vitrail::testing
