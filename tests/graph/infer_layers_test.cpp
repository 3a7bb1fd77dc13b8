// SPDX-License-Identifier: Apache-2.0
#include "graph/infer.h"
#include "inferred.h"

namespace vitrail::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Layers : public ::testing::Test {
 protected:
  GraphBuilder b;
  ValueId image = b.input("image", {kN, 3_d, 224_d, 224_d});
  ValueId tokens = b.input("tokens", {kN, 197_d, 384_d});
  std::string with(Op op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    return inferred(b, b.node(op, std::move(inputs), std::move(attributes), "layer"));
  }
  std::string conv(Attributes attributes, Shape weights = {8, 3, 3, 3}) {
    return with(Op::Conv, {image, b.weight(weights)}, std::move(attributes));
  }
};

TEST_F(Layers, ElementwiseBroadcasts) {
  EXPECT_EQ(with(Op::Add, {tokens, b.weight({384})}), "float32[N,197,384]");
  EXPECT_EQ(with(Op::Mul, {b.weight({1, 197, 1}), tokens}), "float32[N,197,384]");
  EXPECT_EQ(with(Op::Greater, {tokens, b.real(0)}), "bool[N,197,384]");
  EXPECT_EQ(with(Op::Max, {tokens, b.real(0), b.weight({197, 1})}), "float32[N,197,384]");
  EXPECT_EQ(with(Op::Where, {b.node(Op::Less, {tokens, b.real(0)}), tokens, b.real(1)}),
            "float32[N,197,384]");
  EXPECT_EQ(with(Op::Pow, {tokens, b.integer(2)}), "float32[N,197,384]");
}
TEST_F(Layers, BroadcastMismatchNamesBoth) {
  EXPECT_THAT(with(Op::Add, {tokens, b.weight({3, 1, 1})}),
              AllOf(HasSubstr("layer 'layer' (Add)"), HasSubstr("[N,197,384]"), HasSubstr("[3,1,1]")));
}
TEST_F(Layers, MixedTypesAreAnError) {
  EXPECT_THAT(with(Op::Add, {tokens, b.integer(1)}), HasSubstr("float32 and int64"));
}

TEST_F(Layers, UnaryAndCasts) {
  EXPECT_EQ(with(Op::Gelu, {tokens}), "float32[N,197,384]");
  EXPECT_EQ(with(Op::Clip, {tokens, kNoValue, b.real(6)}), "float32[N,197,384]");
  EXPECT_EQ(with(Op::Cast, {tokens}, {{"to", 10}}), "float16[N,197,384]");
  EXPECT_EQ(with(Op::CastLike, {tokens, b.integer(1)}), "int64[N,197,384]");
  EXPECT_EQ(inferred(b, b.nodes(Op::Dropout, {tokens}, 2)[1]), "bool[N,197,384]");
}
TEST_F(Layers, CastToAnUnknownType) { EXPECT_THAT(with(Op::Cast, {tokens}, {{"to", 99}}), HasSubstr("99")); }

TEST_F(Layers, Reductions) {
  EXPECT_EQ(with(Op::ReduceMean, {tokens, b.ints({-1})}), "float32[N,197,1]");
  EXPECT_EQ(with(Op::ReduceMax, {tokens, b.ints({1})}, {{"keepdims", 0}}), "float32[N,384]");
  EXPECT_EQ(with(Op::ReduceSum, {tokens}), "float32[1,1,1]");
  EXPECT_EQ(with(Op::ReduceSum, {tokens}, {{"noop_with_empty_axes", 1}}), "float32[N,197,384]");
  EXPECT_EQ(with(Op::ArgMax, {tokens}, {{"axis", -1}, {"keepdims", 0}}), "int64[N,197]");
}
TEST_F(Layers, ReductionAxisOutOfRange) {
  EXPECT_THAT(with(Op::ReduceMean, {tokens, b.ints({3})}),
              HasSubstr("axis 3 is outside of a value with 3 axes"));
}

TEST_F(Layers, MatrixProducts) {
  EXPECT_EQ(with(Op::MatMul, {tokens, b.weight({384, 10})}), "float32[N,197,10]");
  EXPECT_EQ(with(Op::MatMul, {tokens, b.weight({384})}), "float32[N,197]");
  EXPECT_EQ(with(Op::MatMul, {b.weight({197}), tokens}), "float32[N,384]");
  EXPECT_EQ(with(Op::MatMul, {tokens, b.node(Op::Transpose, {tokens}, {{"perm", Ints{0, 2, 1}}})}),
            "float32[N,197,197]");
  const ValueId row = b.input("row", {kN, 384_d});
  EXPECT_EQ(with(Op::Gemm, {row, b.weight({10, 384}), b.weight({10})}, {{"transB", 1}}), "float32[N,10]");
}
TEST_F(Layers, MatMulInnerMismatch) {
  EXPECT_THAT(with(Op::MatMul, {tokens, b.weight({385, 10})}), HasSubstr("384 and 385"));
}
TEST_F(Layers, GemmBiasMismatch) {
  EXPECT_THAT(with(Op::Gemm, {b.input("row", {kN, 4_d}), b.weight({4, 10}), b.weight({9})}),
              HasSubstr("input 2"));
}

TEST_F(Layers, Normalisations) {
  EXPECT_EQ(with(Op::LayerNormalization, {tokens, b.weight({384}), b.weight({384})}), "float32[N,197,384]");
  EXPECT_EQ(with(Op::Softmax, {tokens}), "float32[N,197,384]");
  const ValueId c = b.weight({3});
  EXPECT_EQ(with(Op::BatchNormalization, {image, c, c, c, c}), "float32[N,3,224,224]");
}
TEST_F(Layers, LayerNormScaleMismatch) {
  EXPECT_THAT(with(Op::LayerNormalization, {tokens, b.weight({383})}), HasSubstr("input 1"));
}
TEST_F(Layers, SoftmaxAxisOutOfRange) {
  EXPECT_THAT(with(Op::Softmax, {tokens}, {{"axis", -4}}), HasSubstr("axis -4"));
}

TEST_F(Layers, Convolutions) {
  EXPECT_EQ(conv({}), "float32[N,8,222,222]");
  EXPECT_EQ(conv({{"pads", Ints{1, 1, 1, 1}}, {"strides", Ints{2, 2}}}), "float32[N,8,112,112]");
  EXPECT_EQ(conv({{"dilations", Ints{2, 3}}}), "float32[N,8,220,218]");
  EXPECT_EQ(conv({{"auto_pad", "SAME_UPPER"}, {"strides", Ints{3, 3}}}), "float32[N,8,75,75]");
  EXPECT_EQ(conv({{"auto_pad", "VALID"}, {"pads", Ints{9, 9, 9, 9}}}), "float32[N,8,222,222]");
  EXPECT_EQ(conv({{"strides", Ints{16, 16}}}, {384, 3, 16, 16}), "float32[N,384,14,14]");
  EXPECT_EQ(conv({{"group", 3}}, {6, 1, 3, 3}), "float32[N,6,222,222]");
}
TEST_F(Layers, ConvolutionMistakes) {
  EXPECT_THAT(conv({}, {8, 4, 3, 3}), HasSubstr("do not fit the weights"));
}
TEST_F(Layers, ConvStrideZero) {
  EXPECT_THAT(conv({{"strides", Ints{0, 1}}}), HasSubstr("strides cannot contain 0"));
}
TEST_F(Layers, ConvHugeDilation) {
  EXPECT_THAT(conv({{"dilations", Ints{INT64_MAX, 1}}}), HasSubstr("dilations cannot contain"));
}
TEST_F(Layers, ConvNegativePads) {
  EXPECT_THAT(conv({{"pads", Ints{-1, 0, 0, 0}}}), HasSubstr("pads cannot"));
}
TEST_F(Layers, ConvTooFewPads) { EXPECT_THAT(conv({{"pads", Ints{1, 1}}}), HasSubstr("pads has 2 entries")); }
TEST_F(Layers, ConvKernelTooLarge) { EXPECT_THAT(conv({}, {8, 3, 225, 3}), HasSubstr("reaches over 225")); }
TEST_F(Layers, ConvGroupZero) { EXPECT_THAT(conv({{"group", 0}}), HasSubstr("group cannot be 0")); }
TEST_F(Layers, ConvKernelShapeDisagrees) {
  EXPECT_THAT(conv({{"kernel_shape", Ints{5, 5}}}), HasSubstr("kernel_shape [5,5]"));
}
TEST_F(Layers, ConvAutoPadUnknown) { EXPECT_THAT(conv({{"auto_pad", "MAYBE"}}), HasSubstr("'MAYBE'")); }

TEST_F(Layers, TransposedConvolutions) {
  const ValueId map = b.input("map", {kN, 64_d, 14_d, 14_d}), w = b.weight({64, 16, 4, 4});
  EXPECT_EQ(with(Op::ConvTranspose, {map, w}, {{"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}}),
            "float32[N,16,28,28]");
  EXPECT_EQ(with(Op::ConvTranspose, {map, w}, {{"strides", Ints{2, 2}}, {"output_padding", Ints{1, 0}}}),
            "float32[N,16,31,30]");
  EXPECT_EQ(with(Op::ConvTranspose, {map, w}, {{"output_shape", Ints{50, 51}}}), "float32[N,16,50,51]");
  EXPECT_EQ(
      with(Op::ConvTranspose, {map, w}, {{"group", 2}, {"auto_pad", "SAME_LOWER"}, {"strides", Ints{3, 3}}}),
      "float32[N,32,42,42]");
}

TEST_F(Layers, Pools) {
  const ValueId map = b.input("map", {kN, 8_d, 15_d, 15_d});
  const Ints two{2, 2}, three{3, 3};
  EXPECT_EQ(with(Op::MaxPool, {map}, {{"kernel_shape", two}, {"strides", two}}), "float32[N,8,7,7]");
  EXPECT_EQ(with(Op::MaxPool, {map}, {{"kernel_shape", two}, {"strides", two}, {"ceil_mode", 1}}),
            "float32[N,8,8,8]");
  // The last window would start in the padding: ceil((15 + 2 - 2) / 3) + 1 = 6 is one too many.
  EXPECT_EQ(with(Op::AveragePool, {map},
                 {{"kernel_shape", two}, {"strides", three}, {"pads", Ints{0, 0, 2, 2}}, {"ceil_mode", 1}}),
            "float32[N,8,5,5]");
  EXPECT_EQ(with(Op::GlobalAveragePool, {map}), "float32[N,8,1,1]");
}
TEST_F(Layers, PoolWithoutKernel) { EXPECT_THAT(with(Op::MaxPool, {image}), HasSubstr("kernel_shape")); }

TEST_F(Layers, Resizes) {
  const ValueId scales = b.constant(Tensor::f32({4}, {1, 1, 2, 1.5f}));
  EXPECT_EQ(with(Op::Resize, {image, kNoValue, scales}), "float32[N,3,448,336]");
  EXPECT_EQ(with(Op::Resize, {image, kNoValue, kNoValue, b.ints({32, 30})}, {{"axes", Ints{2, 3}}}),
            "float32[N,3,32,30]");
  const ValueId head = b.node(Op::Shape, {image}, {{"end", 2}});
  const ValueId sizes = b.node(Op::Concat, {head, b.ints({7, 7})}, {{"axis", 0}});
  EXPECT_EQ(with(Op::Resize, {image, kNoValue, b.constant(Tensor::f32({0}, {})), sizes}), "float32[N,3,7,7]");
}
TEST_F(Layers, ResizePolicy) {
  EXPECT_THAT(with(Op::Resize, {image, kNoValue, kNoValue, b.ints({1, 3, 8, 8})},
                   {{"keep_aspect_ratio_policy", "not_larger"}}),
              HasSubstr("not_larger"));
}
TEST_F(Layers, ResizeByNothing) {
  EXPECT_THAT(with(Op::Resize, {image}), HasSubstr("either scales or sizes"));
}
TEST_F(Layers, ResizeByBadScales) {
  EXPECT_THAT(with(Op::Resize, {image, kNoValue, b.constant(Tensor::f32({4}, {1, 1, -1, NAN}))}),
              HasSubstr("cannot be scaled by -1"));
}

TEST_F(Layers, Linear) {
  EXPECT_EQ(with(Op::Linear, {tokens, b.weight({384, 10}), b.weight({10})}), "float32[N,197,10]");
  EXPECT_EQ(with(Op::Linear, {tokens, b.weight({384, 384}), kNoValue, tokens}), "float32[N,197,384]");
  EXPECT_EQ(with(Op::Linear, {tokens, b.weight({99})}, {{"packed_n", 10}}), "float32[N,197,10]");
}
TEST_F(Layers, LinearMismatch) {
  EXPECT_THAT(with(Op::Linear, {tokens, b.weight({10, 384})}), HasSubstr("[384,N]"));
}
TEST_F(Layers, LinearResidualMismatch) {
  EXPECT_THAT(with(Op::Linear, {tokens, b.weight({384, 10}), kNoValue, tokens}), HasSubstr("residual"));
}

TEST_F(Layers, Attention) {
  const ValueId qkv = b.node(Op::Linear, {tokens, b.weight({384, 1152})});
  Attributes a{{"heads", 6}, {"head_dim", 64}, {"q_offset", 0}, {"k_offset", 384}, {"v_offset", 768}};
  EXPECT_EQ(with(Op::MultiHeadAttention, {qkv, qkv, qkv}, a), "float32[N,197,384]");
  a["v_head_dim"] = int64_t{32};
  EXPECT_EQ(with(Op::MultiHeadAttention, {qkv, qkv, qkv}, a), "float32[N,197,192]");
  a["v_offset"] = int64_t{1152 - 191};
  EXPECT_THAT(with(Op::MultiHeadAttention, {qkv, qkv, qkv}, a),
              HasSubstr("1152 columns; 192 from column 961"));
}

TEST_F(Layers, PatchEmbed) {
  Attributes a{
      {"kernel_shape", Ints{16, 16}}, {"strides", Ints{16, 16}}, {"prefix", 1}, {"out_channels", 384}};
  const ValueId w = b.weight({768, 384});
  EXPECT_EQ(with(Op::PatchEmbed, {image, w, kNoValue, b.weight({197, 384})}, a), "float32[N,197,384]");
  EXPECT_THAT(with(Op::PatchEmbed, {image, w, kNoValue, b.weight({196, 384})}, a), HasSubstr("[197,384]"));
}

TEST_F(Layers, WhatDependsOnDataIsUnknown) {
  const ValueId target = b.input("target", {3_d}, DType::kI64);
  const ValueId unknown = b.node(Op::Reshape, {tokens, target});
  EXPECT_EQ(with(Op::Softmax, {unknown}), "float32[?]");
}

// Every operator must give an error or an unknown shape, never a crash, for scalars and for operands whose
// shape is unknown.
TEST(AllOperators, SurviveScalarsAndUnknownShapes) {
  for (const OpInfo& info : all_ops()) {
    for (bool scalars : {false, true}) {
      GraphBuilder b;
      std::vector<ValueId> inputs;
      for (int i = 0; i < std::min(info.max_inputs, 5); ++i) {
        inputs.push_back(b.input("x" + std::to_string(i), {}));
        if (!scalars) b.graph.value(inputs.back()).shape.reset();
      }
      const ValueId out = b.node(info.op, inputs);
      const Status s = infer_shapes(b.graph);
      if (!s.ok()) {
        EXPECT_THAT(s.message(), HasSubstr(std::string(info.name)));
      } else if (!scalars) {
        EXPECT_TRUE(!b.graph.value(out).shape || b.graph.value(out).shape->empty()) << info.name;
      }
    }
  }
}

TEST(AllOperators, MissingInputsAreErrors) {
  for (const OpInfo& info : all_ops()) {
    if (info.min_inputs == 0) continue;
    GraphBuilder b;
    const ValueId out = b.node(info.op, {});
    EXPECT_THAT(inferred(b, out), HasSubstr("input 0 is missing")) << info.name;
  }
}

TEST_F(Layers, Quantization) {
  const ValueId q = b.input("q", {kN, 197_d, 384_d}, DType::kI8);
  const ValueId zeros = b.constant(Tensor(DType::kI8, {384}));
  EXPECT_EQ(with(Op::QuantizeLinear, {tokens, b.real(1)}), "uint8[N,197,384]");
  EXPECT_EQ(with(Op::QuantizeLinear, {tokens, b.weight({384}), zeros}, {{"axis", -1}}), "int8[N,197,384]");
  EXPECT_EQ(with(Op::QuantizeLinear, {tokens, b.real(1)}, {{"output_dtype", 5}}), "int16[N,197,384]");
  EXPECT_EQ(with(Op::DequantizeLinear, {q, b.real(1)}), "float32[N,197,384]");
  EXPECT_EQ(with(Op::DequantizeLinear, {b.constant(Tensor(DType::kI8, {4, 5})), b.weight({2, 5})},
                 {{"axis", 0}, {"block_size", 3}}),
            "float32[4,5]");
  const ValueId w = b.constant(Tensor(DType::kI8, {384, 8}));
  EXPECT_EQ(with(Op::QuantizedLinear, {q, w, b.weight({8})}), "float32[N,197,8]");
}
TEST_F(Layers, QuantizationOfOtherShapes) {
  EXPECT_THAT(with(Op::QuantizeLinear, {tokens, b.weight({384})}), HasSubstr("the shape [197]"));
}
TEST_F(Layers, QuantizedLinearNeedsAScaleForEveryColumn) {
  const ValueId q = b.input("q", {kN, 4_d}, DType::kI8), w = b.constant(Tensor(DType::kI8, {4, 8}));
  EXPECT_THAT(with(Op::QuantizedLinear, {q, w, b.weight({1})}), HasSubstr("the shape [8]"));
}

}  // namespace
}  // namespace vitrail::testing
