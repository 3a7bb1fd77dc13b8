// SPDX-License-Identifier: Apache-2.0
#include "passes/select_rows.h"

#include "fusion.h"
#include "passes/structure.h"

namespace vitrail::testing {
namespace {

Dim rows(const Graph& graph, ValueId id) { return (*graph.value(id).shape)[1]; }

// The last block of a ViT of width 16 on nine tokens, as the other passes leave it: attention, projection,
// MLP with residuals, final norm. `x` enters the block.
struct LastBlock {
  GraphBuilder b;
  ValueId x, middle, end, norm;

  LastBlock() {
    x = b.input("x", {kN, 9_d, 16_d});
    const ValueId first = b.node(Op::LayerNormalization, {x, b.weight({16})}, {}, "first_norm");
    const ValueId qkv = b.node(Op::Linear, {first, b.weight({16, 48}, 2)});
    const ValueId a = b.node(Op::MultiHeadAttention, {qkv, qkv, qkv},
                             {{"heads", int64_t{4}},
                              {"head_dim", int64_t{4}},
                              {"k_offset", int64_t{16}},
                              {"v_offset", int64_t{32}}},
                             "attention");
    middle = b.node(Op::Linear, {a, b.weight({16, 16}, 3), b.weight({16}), x}, {}, "middle");
    const ValueId n = b.node(Op::LayerNormalization, {middle, b.weight({16})});
    const ValueId h =
        b.node(Op::Linear, {n, b.weight({16, 40}, 4)}, {{"activation", std::string("gelu")}}, "hidden");
    end = b.node(Op::Linear, {h, b.weight({40, 16}, 5), kNoValue, middle}, {}, "end");
    norm = b.node(Op::LayerNormalization, {end, b.weight({16})}, {}, "norm");
  }

  ValueId token(int64_t index) {
    return b.node(Op::Gather, {norm, b.integer(index)}, {{"axis", int64_t{1}}});
  }
  void classify(ValueId pooled, const std::string& name = "logits") {
    b.output(b.node(Op::Linear, {pooled, b.weight({16, 7}, 6)}, {}, name));
  }
};

TEST(SelectRows, ClassTokenMovesUpToTheAttention) {
  for (int64_t index : {0, 3, -1}) {
    LastBlock block;
    block.classify(block.token(index));
    const Graph narrow = apply(block.b.graph, select_rows, 5);
    EXPECT_EQ(count(narrow, Op::Gather), 0);
    EXPECT_EQ(count(narrow, Op::Slice), 2);  // of the attention's output and of the stream beside it
    EXPECT_EQ(count(narrow, Op::Reshape), 1);
    for (const Node& node : narrow.nodes) {
      const bool full = node.name == "first_norm" || node.op == Op::MultiHeadAttention ||
                        rows(narrow, node.outputs[0]) == 9_d;
      if (full || narrow.value(node.outputs[0]).shape->size() == 2 || node.op == Op::Reshape) continue;
      EXPECT_EQ(rows(narrow, node.outputs[0]), 1_d) << print_graph(narrow);
      ASSERT_TRUE(selection_of(node)) << node.name;
      EXPECT_EQ(selection_of(node)->first, index < 0 ? 8 : index);
    }
    // The full values are gone, and with them their names.
    for (const char* name : {"middle", "hidden", "end", "norm"}) EXPECT_EQ(narrow.find(name), kNoValue);
    EXPECT_NE(narrow.find("attention"), kNoValue);
    EXPECT_EQ(narrow.find("end[:,0:1]") != kNoValue, index == 0) << print_graph(narrow);
  }
}

// Any operator that ops.def calls element-wise lets rows through; one that mixes them does not.
TEST(SelectRows, ElementwiseOperatorsLetRowsThrough) {
  for (Op op : {Op::Softplus, Op::Max, Op::Sub}) {
    LastBlock block;
    GraphBuilder& b = block.b;
    const auto inputs = op_info(op).min_inputs == 2 || op == Op::Max
                            ? std::vector{block.norm, b.weight({16}, 8)}
                            : std::vector{block.norm};
    block.norm = b.node(op, inputs, {}, "between");
    block.classify(block.token(0));
    const Graph narrow = apply(b.graph, select_rows, 6);
    EXPECT_EQ(narrow.find("between"), kNoValue) << op_name(op);
  }
  LastBlock block;
  block.norm = block.b.node(Op::Softmax, {block.norm}, {{"axis", int64_t{1}}}, "between");
  block.classify(block.token(0));
  EXPECT_NE(apply(block.b.graph, select_rows, 0).find("between"), kNoValue);
}

TEST(SelectRows, BitsOfTheRowsStay) {
  LastBlock block;
  block.classify(block.token(0));
  ASSERT_TRUE(infer_shapes(block.b.graph).ok());
  Graph narrow = block.b.graph;
  ASSERT_EQ(select_rows(narrow), 5);
  const auto inputs = random_inputs(narrow, 2);
  const auto want = run_graph(block.b.graph, inputs), got = run_graph(narrow, inputs);
  ASSERT_TRUE(want.ok() && got.ok());
  const auto w = want->at("logits").as<float>(), g = got->at("logits").as<float>();
  EXPECT_TRUE(std::equal(w.begin(), w.end(), g.begin(), g.end()));
}

TEST(SelectRows, SliceOfTheClassTokenDisappears) {
  LastBlock block;
  const ValueId slice = block.b.node(
      Op::Slice, {block.norm, block.b.ints({0}), block.b.ints({1}), block.b.ints({1}), block.b.ints({1})});
  block.classify(slice);
  const Graph narrow = apply(block.b.graph, select_rows, 5);
  EXPECT_EQ(count(narrow, Op::Slice), 2);
  EXPECT_EQ(count(narrow, Op::Reshape), 0);
}

// As distilled DeiT reads its two tokens: the rows in between the two are computed as well, here none.
TEST(SelectRows, TwoTokensShareOneSelection) {
  LastBlock block;
  block.classify(block.token(0), "class");
  block.classify(block.token(1), "distilled");
  const Graph narrow = apply(block.b.graph, select_rows, 5);
  EXPECT_EQ(count(narrow, Op::Gather), 2);
  EXPECT_EQ(rows(narrow, find(narrow, Op::Gather)->input(0)), 2_d);

  LastBlock sliced;
  const ValueId both = sliced.b.node(
      Op::Slice, {sliced.norm, sliced.b.ints({-2}), sliced.b.ints({INT64_MAX}), sliced.b.ints({-2})});
  sliced.classify(both);
  EXPECT_EQ(count(apply(sliced.b.graph, select_rows, 5), Op::Slice), 2);

  LastBlock apart;  // the first and the last token are all nine
  apart.classify(apart.token(0), "class");
  apart.classify(apart.token(8), "distilled");
  apply(apart.b.graph, select_rows, 0);
}

TEST(SelectRows, SecondReaderForbids) {
  LastBlock normed;
  normed.classify(normed.token(0));
  normed.b.output(normed.norm);
  apply(normed.b.graph, select_rows, 0);

  LastBlock features;  // the end of the block is an output: only the norm is computed for the token alone
  features.classify(features.token(0));
  features.b.output(features.end);
  const Graph one = apply(features.b.graph, select_rows, 1);
  EXPECT_NE(one.find("end"), kNoValue);

  LastBlock middle;  // read by somebody else: the MLP moves, the projection stays
  middle.classify(middle.token(0));
  middle.b.output(middle.b.node(Op::ReduceMean, {middle.middle, middle.b.ints({1})}), "mean");
  const Graph two = apply(middle.b.graph, select_rows, 4);
  EXPECT_NE(two.find("middle"), kNoValue);
  EXPECT_EQ(count(two, Op::Slice), 1);
}

TEST(SelectRows, MeanPoolingAndMostOfTheTokensStay) {
  LastBlock mean;
  mean.classify(mean.b.node(Op::ReduceMean, {mean.norm, mean.b.ints({1})}, {{"keepdims", int64_t{0}}}));
  apply(mean.b.graph, select_rows, 0);

  LastBlock patches;  // all but the class token
  const ValueId some = patches.b.node(
      Op::Slice, {patches.norm, patches.b.ints({1}), patches.b.ints({9}), patches.b.ints({1})});
  patches.classify(patches.b.node(Op::ReduceMean, {some, patches.b.ints({1})}, {{"keepdims", int64_t{0}}}));
  apply(patches.b.graph, select_rows, 0);
}

TEST(SelectRows, ElementwiseNodesAndTheirOperands) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 8_d, 6_d});
  const ValueId z = b.input("z", {kN, 8_d, 1_d});
  const ValueId one = b.node(Op::Relu, {b.input("one", {kN, 1_d, 6_d})});
  ValueId y = b.node(Op::Tanh, {x});
  y = b.node(Op::Mul, {y, z});                       // a factor a row
  y = b.node(Op::Add, {one, y});                     // the same row for all; its maker is not touched
  y = b.node(Op::Sub, {y, b.weight({1, 1, 6}, 3)});  // constants
  y = b.node(Op::Mul, {b.real(0.5f), y});
  y = b.node(Op::Clip, {y, b.real(-1), b.real(1)});
  y = b.node(Op::Add, {y, y});
  b.output(b.node(Op::Gather, {y, b.ints({2})}, {{"axis", int64_t{-2}}}));
  const Graph narrow = apply(b.graph, select_rows, 7);
  EXPECT_EQ(count(narrow, Op::Slice), 2);  // of x and z
  EXPECT_EQ(rows(narrow, narrow.outputs[0]), 1_d);
}

TEST(SelectRows, WhatMixesRowsStays) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 8_d, 6_d});
  const auto pick = [&](ValueId y) {
    b.output(b.node(Op::Gather, {y, b.integer(0)}, {{"axis", int64_t{1}}}));
  };
  pick(b.node(Op::LayerNormalization, {x, b.weight({8, 6})}, {{"axis", int64_t{1}}}));
  pick(b.node(Op::Softmax, {x}, {{"axis", int64_t{1}}}));
  pick(b.node(Op::MatMul, {b.weight({8, 8}), x}));
  pick(b.node(Op::Add, {x, b.weight({8, 6})}));  // another constant a row
  pick(x);
  b.output(b.node(Op::Gather, {b.node(Op::Relu, {x}), b.integer(0)}, {{"axis", int64_t{2}}}));
  b.output(b.node(Op::Gather, {b.node(Op::Tanh, {x}), b.ints({0, 1})}, {{"axis", int64_t{1}}}));
  apply(b.graph, select_rows, 0);
}

TEST(SelectRows, StagesAreFoundAsBefore) {
  for (bool features : {false, true}) {
    LastBlock block;
    block.classify(block.token(0));
    if (features) block.b.output(block.middle);
    ASSERT_TRUE(infer_shapes(block.b.graph).ok());
    const ModelStructure before = recognise_structure(block.b.graph);
    Graph narrow = block.b.graph;
    ASSERT_GT(select_rows(narrow), 0);
    ASSERT_TRUE(infer_shapes(narrow).ok() && cleanup(narrow).ok());
    const ModelStructure s = recognise_structure(narrow);
    EXPECT_EQ(s.reason, "");
    EXPECT_EQ(s.blocks, 1);
    EXPECT_EQ(s.tokens, 9);
    EXPECT_EQ(s.width, before.width);
    EXPECT_EQ(s.mlp_width, 40);
    EXPECT_EQ(s.pooling, "class token");
    EXPECT_EQ(s.head, before.head);
    ASSERT_EQ(s.stages.size(), 3u);
    EXPECT_EQ(narrow.value(s.stages[0].output).name, "x");
    EXPECT_EQ(s.stages[1].name, "block.0");
    EXPECT_EQ(narrow.value(s.stages[1].output).name, "end[:,0:1]");
    EXPECT_EQ(narrow.value(s.stages[2].output).name, "logits");
    for (const Node& node : narrow.nodes) EXPECT_FALSE(node.stage.empty()) << node.name;
  }
}

}  // namespace
}  // namespace vitrail::testing
