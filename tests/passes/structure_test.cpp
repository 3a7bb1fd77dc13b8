// SPDX-License-Identifier: Apache-2.0
#include "passes/structure.h"

#include <gtest/gtest.h>

#include "graph_builder.h"

namespace vitrail::testing {
namespace {

// Two pre-norm blocks of width 16 on nine tokens, a class token picked and classified; fused as the passes
// leave it.
GraphBuilder two_blocks(bool with_mlp = true) {
  GraphBuilder b;
  ValueId x =
      b.node(Op::PatchEmbed,
             {b.input("image", {kN, 3_d, 8_d, 16_d}), b.weight({16, 3, 4, 4}), kNoValue, b.weight({9, 16})},
             {{"kernel_shape", Ints{4, 4}},
              {"strides", Ints{4, 4}},
              {"out_channels", int64_t{16}},
              {"prefix", int64_t{1}}},
             "embedded");
  for (int i = 0; i < 2; ++i) {
    const std::string block = "block" + std::to_string(i);
    const ValueId n = b.node(Op::LayerNormalization, {x, b.weight({16})});
    const ValueId qkv = b.node(Op::Linear, {n, b.weight({16, 48})});
    const ValueId a = b.node(Op::MultiHeadAttention, {qkv, qkv, qkv},
                             {{"heads", int64_t{4}},
                              {"head_dim", int64_t{4}},
                              {"k_offset", int64_t{16}},
                              {"v_offset", int64_t{32}}});
    x = b.node(Op::Linear, {a, b.weight({16, 16}), kNoValue, x}, {}, block + ".middle");
    if (!with_mlp) continue;
    const ValueId h =
        b.node(Op::Linear, {b.node(Op::LayerNormalization, {x, b.weight({16})}), b.weight({16, 40})},
               {{"activation", std::string("gelu")}});
    x = b.node(Op::Linear, {h, b.weight({40, 16}), kNoValue, x}, {}, block + ".end");
  }
  const ValueId token =
      b.node(Op::Gather, {b.node(Op::LayerNormalization, {x, b.weight({16})}), b.integer(0)},
             {{"axis", int64_t{1}}});
  b.output(b.node(Op::Linear, {token, b.weight({16, 7})}, {}, "logits"));
  EXPECT_TRUE(infer_shapes(b.graph).ok()) << infer_shapes(b.graph).message();
  return b;
}

TEST(Structure, StagesPartitionTheNodesAndEndWhereTheStreamDoes) {
  Graph graph = two_blocks().graph;
  const ModelStructure s = recognise_structure(graph);
  EXPECT_EQ(s.reason, "");
  EXPECT_EQ(s.blocks, 2);
  EXPECT_EQ(s.heads, 4);
  EXPECT_EQ(s.head_dim, 4);
  EXPECT_EQ(s.width, 16);
  EXPECT_EQ(s.tokens, 9);
  EXPECT_EQ(s.prefix_tokens, 1);
  EXPECT_EQ(s.mlp_width, 40);
  EXPECT_EQ(s.pooling, "class token");
  EXPECT_EQ(s.head, "linear [7]");
  std::vector<std::string> stages;
  for (const Stage& stage : s.stages) stages.push_back(stage.name + "=" + graph.value(stage.output).name);
  EXPECT_EQ(stages, (std::vector<std::string>{"patch_embed=embedded", "block.0=block0.end",
                                              "block.1=block1.end", "head=logits"}));
  for (const Node& node : graph.nodes) EXPECT_FALSE(node.stage.empty()) << node.name;
  EXPECT_EQ(graph.nodes.front().stage, "patch_embed");
  EXPECT_EQ(graph.nodes.back().stage, "head");
}

TEST(Structure, WhatIsMissingIsSaid) {
  Graph without_mlp = two_blocks(false).graph;
  EXPECT_EQ(recognise_structure(without_mlp).blocks, 0);
  EXPECT_EQ(recognise_structure(without_mlp).reason, "no MLP follows the last attention");
  GraphBuilder plain;
  plain.output(plain.node(Op::Relu, {plain.input("x", {kN, 3_d})}));
  ASSERT_TRUE(infer_shapes(plain.graph).ok());
  const ModelStructure s = recognise_structure(plain.graph);
  EXPECT_EQ(s.reason, "no attention was recognised");
  ASSERT_EQ(s.stages.size(), 1u);
  EXPECT_EQ(plain.graph.nodes[0].stage, "model");
}

}  // namespace
}  // namespace vitrail::testing
