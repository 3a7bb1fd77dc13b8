// SPDX-License-Identifier: Apache-2.0
// Every kernel of the CPU backend's list; those of bytes are in quantized_steps_test.cpp.
#include "cpu/steps_testing.h"

namespace vitrail::testing {
namespace {

TEST_F(CpuSteps, Linear) {
  for (const char* activation :
       {"none", "relu", "gelu", "gelu_tanh", "gelu_quick", "silu", "sigmoid", "tanh"}) {
    GraphBuilder b;
    const ValueId x = b.input("x", {kN, 7_d, 20_d}), r = b.input("r", {kN, 7_d, 33_d});
    b.node(Op::Linear, {x, b.weight({20, 33}), b.weight({33}, 2), r},
           {{"activation", std::string(activation)}});
    expect_kernel(b, "gemm_f32");
  }
  GraphBuilder bare;
  bare.node(Op::Linear, {bare.input("x", {kN, 20_d}), bare.weight({20, 5})});
  expect_kernel(bare, "gemm_f32");
}

TEST_F(CpuSteps, PatchEmbedWithAndWithoutTable) {
  for (bool table : {false, true}) {
    GraphBuilder b;
    std::vector<ValueId> inputs{b.input("x", {kN, 3_d, 8_d, 12_d}), b.weight({18, 3, 4, 4}),
                                b.weight({18}, 2)};
    if (table) inputs.push_back(b.weight({8, 18}, 3));
    b.node(Op::PatchEmbed, inputs,
           {{"kernel_shape", Ints{4, 4}},
            {"strides", Ints{4, 4}},
            {"out_channels", int64_t{18}},
            {"prefix", int64_t{table ? 2 : 0}}});
    expect_kernel(b, "patch_gemm_f32");
  }
}

TEST_F(CpuSteps, AttentionPackedSeparateAndMasked) {
  const Attributes attributes{{"heads", int64_t{2}}, {"head_dim", int64_t{8}}, {"scale", 0.35f}};
  GraphBuilder packed;
  Attributes offsets = attributes;
  offsets["k_offset"] = int64_t{16};
  offsets["v_offset"] = int64_t{32};
  const ValueId qkv = packed.input("qkv", {kN, 9_d, 48_d});
  packed.node(Op::MultiHeadAttention, {qkv, qkv, qkv}, offsets);
  expect_kernel(packed, "attention_f32");
  for (const SymShape& mask :
       {SymShape{kN, 2_d, 5_d, 9_d}, {kN, 1_d, 1_d, 9_d}, {2_d, 5_d, 9_d}, {1_d, 2_d, 1_d, 9_d}, {9_d}}) {
    GraphBuilder b;
    b.node(Op::MultiHeadAttention,
           {b.input("q", {kN, 5_d, 16_d}), b.input("k", {kN, 9_d, 16_d}), b.input("v", {kN, 9_d, 16_d}),
            b.input("m", mask)},
           attributes);
    expect_kernel(b, "attention_f32");
  }
}

TEST_F(CpuSteps, Rows) {
  GraphBuilder norm;
  norm.node(Op::LayerNormalization,
            {norm.input("x", {kN, 5_d, 37_d}), norm.weight({37}), norm.weight({37}, 2)},
            {{"epsilon", 1e-6f}});
  expect_kernel(norm, "layer_norm_f32");
  GraphBuilder softmax;
  softmax.node(Op::Softmax, {softmax.input("x", {kN, 5_d, 37_d})}, {{"axis", int64_t{-1}}});
  expect_kernel(softmax, "softmax_f32");
  for (int64_t axis : {1, 2, -1}) {
    GraphBuilder mean;
    mean.node(Op::ReduceMean, {mean.input("x", {kN, 5_d, 37_d}), mean.ints({axis})},
              {{"keepdims", int64_t{axis == 1}}});
    expect_kernel(mean, "reduce_f32");
  }
  GraphBuilder product;
  product.node(Op::MatMul,
               {product.input("a", {kN, 2_d, 5_d, 7_d}), product.input("b", {kN, 2_d, 7_d, 19_d})});
  expect_kernel(product, "batched_gemm_f32");
}

TEST_F(CpuSteps, Reductions) {
  for (Op op : {Op::ReduceMean, Op::ReduceSum, Op::ReduceMax, Op::ReduceMin, Op::ReduceL2})
    for (const Ints& axes : {Ints{1}, {2, 3}, {-1}, {1, 2, 3}, {1, 4}})
      for (int64_t keep : {0, 1}) {
        GraphBuilder b;
        b.node(op, {b.input("x", {kN, 5_d, 3_d, 37_d, 1_d}), b.ints(axes)}, {{"keepdims", keep}});
        expect_kernel(b, "reduce_f32");
      }
  for (const SymShape& shape : {SymShape{kN, 3_d, 7_d, 5_d}, {kN, 3_d, 11_d}}) {
    GraphBuilder pool;
    pool.node(Op::GlobalAveragePool, {pool.input("x", shape)});
    expect_kernel(pool, "reduce_f32");
  }
  GraphBuilder apart, batch;
  apart.node(Op::ReduceMean, {apart.input("x", {kN, 5_d, 3_d, 4_d}), apart.ints({1, 3})});
  expect_kernel(apart, "reference");
  batch.node(Op::ReduceMax, {batch.input("x", {kN, 5_d}), batch.ints({0})}, {{"keepdims", int64_t{1}}});
  expect_kernel(batch, "reference");
}

TEST_F(CpuSteps, BatchNormalization) {
  GraphBuilder b;
  std::vector<ValueId> inputs{b.input("x", {kN, 4_d, 3_d, 5_d})};
  for (unsigned seed : {1, 2, 3}) inputs.push_back(b.weight({4}, seed));
  inputs.push_back(b.graph.add_constant("variance", Tensor::f32({4}, {0.5f, 1, 2, 0.01f})));
  b.node(Op::BatchNormalization, inputs, {{"epsilon", 1e-3f}});
  expect_kernel(b, "batch_norm_f32");
}

TEST_F(CpuSteps, Pools) {
  for (Op op : {Op::MaxPool, Op::AveragePool})
    for (int64_t ceil : {0, 1})
      for (const Ints& pads : {Ints{0, 0, 0, 0}, {1, 1, 1, 1}, {0, 2, 1, 0}})
        for (int64_t counted : {0, 1}) {
          GraphBuilder b;
          Attributes attributes{{"kernel_shape", Ints{3, 4}}, {"strides", Ints{2, 3}}, {"pads", pads}, {"ceil_mode", ceil}};
          if (op == Op::AveragePool) attributes["count_include_pad"] = counted;
          b.node(op, {b.input("x", {kN, 2_d, 9_d, 11_d})}, attributes);
          expect_kernel(b, "pool_f32");
        }
  GraphBuilder wide;
  wide.node(Op::MaxPool, {wide.input("x", {kN, 2_d, 9_d, 11_d})},
            {{"kernel_shape", Ints{3, 2}}, {"dilations", Ints{2, 3}}, {"pads", Ints{1, 0, 1, 0}}});
  expect_kernel(wide, "pool_f32");
}

TEST_F(CpuSteps, MatricesOfEveryBroadcast) {
  for (const auto& [a, b] : {std::pair<SymShape, SymShape>{{kN, 2_d, 5_d, 7_d}, {7_d, 19_d}},
                             {{3_d, 4_d, 7_d}, {kN, 3_d, 7_d, 5_d}},
                             {{kN, 1_d, 5_d, 7_d}, {1_d, 3_d, 7_d, 20_d}},
                             {{kN, 7_d}, {1_d, 7_d, 4_d}},
                             {{3_d, kN, 7_d}, {3_d, 7_d, 6_d}}}) {
    GraphBuilder g;
    g.node(Op::MatMul, {g.input("a", a), g.input("b", b)});
    expect_kernel(g, "batched_gemm_f32");
  }
}

TEST_F(CpuSteps, Convolutions) {
  for (int64_t group : {1, 2}) {
    GraphBuilder b;
    b.node(Op::Conv, {b.input("x", {kN, 4_d, 9_d, 7_d}), b.weight({6, 4 / group, 3, 3}), b.weight({6}, 2)},
           {{"pads", Ints{1, 1, 1, 1}}, {"strides", Ints{2, 1}}, {"group", group}});
    expect_kernel(b, "conv_f32");
  }
  GraphBuilder up;
  up.node(Op::ConvTranspose, {up.input("x", {kN, 4_d, 5_d, 6_d}), up.weight({4, 3, 4, 4}), up.weight({3}, 2)},
          {{"pads", Ints{1, 1, 1, 1}}, {"strides", Ints{2, 2}}});
  expect_kernel(up, "conv_transpose_f32");
  for (const char* mode : {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"}) {
    GraphBuilder b;
    b.node(Op::Resize, {b.input("x", {kN, 2_d, 4_d, 5_d}), kNoValue, kNoValue, b.ints({11, 9})},
           {{"mode", std::string("linear")},
            {"coordinate_transformation_mode", std::string(mode)},
            {"axes", Ints{2, 3}}});
    expect_kernel(b, "resize_linear_f32");
  }
}

TEST_F(CpuSteps, CastOfBytes) {
  GraphBuilder b;
  b.node(Op::Cast, {b.input("x", {kN, 150_d, 120_d, 3_d}, DType::kU8)}, {{"to", int64_t{1}}});
  expect_kernel(b, "cast_u8_f32");
}

TEST_F(CpuSteps, Unary) {
  for (Op op :
       {Op::Relu, Op::Gelu, Op::Sigmoid, Op::Tanh, Op::Erf, Op::Exp, Op::Abs, Op::Neg, Op::Reciprocal}) {
    GraphBuilder b;
    b.node(op, {b.input("x", {kN, 5_d, 7_d})});
    expect_kernel(b, "unary_f32");
  }
  GraphBuilder root;
  root.node(Op::Sqrt, {root.node(Op::Abs, {root.input("x", {kN, 7_d})})});
  expect_kernel(root, "unary_f32");
}

TEST_F(CpuSteps, Clip) {
  for (int bounds : {1, 2, 3}) {
    GraphBuilder b;
    std::vector<ValueId> inputs{b.input("x", {kN, 50_d, 700_d}), bounds & 1 ? b.real(-0.5f) : kNoValue};
    if (bounds & 2) inputs.push_back(b.real(0.25f));
    b.node(Op::Clip, inputs);
    expect_kernel(b, "clip_f32");
  }
}

TEST_F(CpuSteps, BinaryWithEveryBroadcast) {
  for (Op op : {Op::Add, Op::Sub, Op::Mul, Op::Div})
    for (const SymShape& other : {SymShape{kN, 5_d, 7_d}, {7_d}, {1_d, 5_d, 7_d}, {kN, 5_d, 1_d}, {kN, 1_d, 7_d}, {5_d, 1_d}, {}, {1_d}})
      for (bool swapped : {false, true}) {
        GraphBuilder b;
        const ValueId x = b.node(Op::Exp, {b.input("x", {kN, 5_d, 7_d})}),
                      y = b.node(Op::Exp, {b.input("y", other)});
        b.node(op, swapped ? std::vector{y, x} : std::vector{x, y});
        expect_kernel(b, "binary_f32");
      }
  // A mask of windows, and operands that repeat along different axes.
  for (const auto& [one, other] : {std::pair<SymShape, SymShape>{{kN, 3_d, 2_d, 5_d, 5_d}, {3_d, 1_d, 5_d, 5_d}},
                                   {{kN, 1_d, 5_d, 1_d}, {4_d, 1_d, 7_d}},
                                   {{1_d, 3_d, 1_d, 5_d}, {kN, 1_d, 4_d, 1_d}}}) {
    GraphBuilder b;
    b.node(Op::Sub, {b.input("x", one), b.input("y", other)});
    expect_kernel(b, "binary_f32");
  }
}

TEST_F(CpuSteps, Copies) {
  for (const Ints& perm : {Ints{0, 2, 1, 3}, {1, 0, 3, 2}, {3, 2, 1, 0}}) {
    GraphBuilder b;
    b.node(Op::Transpose, {b.input("x", {kN, 3_d, 4_d, 5_d})}, {{"perm", perm}});
    expect_kernel(b, "copy");
  }
  GraphBuilder concat;
  concat.node(Op::Concat, {concat.input("x", {kN, 2_d, 5_d}), concat.input("y", {kN, 3_d, 5_d})},
              {{"axis", int64_t{1}}});
  expect_kernel(concat, "copy");
  GraphBuilder split;
  split.nodes(Op::Split, {split.input("x", {kN, 6_d, 5_d}), split.ints({2, 4})}, 2, {{"axis", int64_t{1}}});
  expect_kernel(split, "copy");
  for (int64_t step : {1, 2}) {
    GraphBuilder b;
    b.node(Op::Slice, {b.input("x", {kN, 9_d, 5_d}), b.ints({-8, 1}), b.ints({100, 4}), b.ints({1, 2}),
                       b.ints({step, 1})});
    expect_kernel(b, "copy");
  }
  for (int64_t index : {0, 3, -1}) {
    GraphBuilder b;
    b.node(Op::Gather, {b.input("x", {kN, 4_d, 5_d}), b.integer(index)}, {{"axis", int64_t{1}}});
    expect_kernel(b, "copy");
  }
  GraphBuilder one;
  one.node(Op::Gather, {one.input("x", {kN, 4_d, 5_d}), one.ints({2})}, {{"axis", int64_t{1}}});
  expect_kernel(one, "copy");
  GraphBuilder expand;
  expand.node(Op::Expand, {expand.input("x", {kN, 1_d, 5_d}), expand.ints({1, 4, 5})});
  expect_kernel(expand, "copy");
}

// Views share memory: a view of an input, of a constant and of an intermediate value, each as a graph output.
TEST_F(CpuSteps, ViewsAsOutputs) {
  GraphBuilder of_input;
  of_input.node(Op::Reshape, {of_input.input("x", {kN, 4_d, 5_d}), of_input.ints({-1, 20})});
  expect_kernel(of_input, "view");
  GraphBuilder of_value;
  const ValueId y = of_value.node(Op::Relu, {of_value.input("x", {kN, 4_d, 5_d})});
  of_value.node(Op::Reshape, {y, of_value.ints({-1, 20})});
  expect_kernel(of_value, "view");
}

TEST_F(CpuSteps, LeftoverOperatorsRunOnTheReferenceLoops) {
  GraphBuilder b;
  b.node(Op::Pow, {b.node(Op::Abs, {b.input("x", {kN, 5_d})}), b.real(1.5f)});
  expect_kernel(b, "reference");
}

}  // namespace
}  // namespace vitrail::testing
