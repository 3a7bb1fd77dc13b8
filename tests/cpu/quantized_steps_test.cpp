// SPDX-License-Identifier: Apache-2.0
// Integer products and what makes their bytes, behind their nodes.
#include "cpu/steps_testing.h"

namespace vitrail::testing {
namespace {

Tensor byte_weight(Shape shape) {
  std::mt19937 random(7);
  Tensor t(DType::kI8, std::move(shape));
  for (int8_t& v : t.as_mutable<int8_t>()) v = static_cast<int8_t>(random() >> 8);
  return t;
}

struct Bytes {
  DType dtype;
  int64_t zero;
};
constexpr Bytes kBytes[] = {{DType::kU8, 0},    {DType::kU8, 120}, {DType::kU8, 255},
                            {DType::kI8, -128}, {DType::kI8, 3},   {DType::kI8, 127}};

ValueId zero_of(GraphBuilder& b, const Bytes& bytes) {
  Tensor zero(bytes.dtype, {});
  *static_cast<uint8_t*>(zero.mutable_data()) = static_cast<uint8_t>(bytes.zero);
  return b.constant(zero);
}

ValueId quantize_node(GraphBuilder& b, ValueId x, float scale, const Bytes& to) {
  return b.node(Op::QuantizeLinear, {x, b.real(scale), zero_of(b, to)});
}

// x [N,7,70] of bytes by [70,33]; a sum is a multiple of 2^-13, which float32 holds exactly.
ValueId quantized_linear(GraphBuilder& b, const Bytes& x, const char* activation, ValueId residual) {
  Tensor scale(DType::kF32, {33});
  for (float& v : scale.as_mutable<float>()) v = 0x1p-10f;
  scale.as_mutable<float>()[5] = 0x1p-12f;  // of its own channel
  return b.node(Op::QuantizedLinear,
                {b.input("x", {kN, 7_d, 70_d}, x.dtype), b.constant(byte_weight({70, 33})), b.constant(scale),
                 b.weight({33}, 2), residual},
                {{"x_scale", 0.5f}, {"x_zero_point", x.zero}, {"activation", std::string(activation)}});
}

TEST_F(CpuSteps, QuantizedLinear) {
  for (const Bytes& x : kBytes) {
    for (const char* activation : {"none", "gelu", "tanh"}) {
      GraphBuilder b;
      quantized_linear(b, x, activation, b.input("r", {kN, 7_d, 33_d}));
      expect_kernel(b, "gemm_u8s8");
      GraphBuilder bytes;
      const ValueId y = quantized_linear(bytes, x, activation, kNoValue);
      quantize_node(bytes, y, 0.03f, x);
      expect_kernel(bytes, "gemm_u8s8");
    }
  }
}

TEST_F(CpuSteps, QuantizersMoveIntoWhatMakesTheirInput) {
  for (const Bytes& to : kBytes) {
    GraphBuilder alone;
    quantize_node(alone, alone.input("x", {kN, 5_d, 37_d}), 0.02f, to);
    expect_kernel(alone, "quantize_u8");
    GraphBuilder norm;
    const ValueId y = norm.node(Op::LayerNormalization,
                                {norm.input("x", {kN, 5_d, 37_d}), norm.weight({37}), norm.weight({37}, 2)});
    quantize_node(norm, y, 0.02f, to);
    expect_kernel(norm, "layer_norm_f32");
    GraphBuilder attention;
    const ValueId qkv = attention.input("qkv", {kN, 9_d, 48_d});
    const ValueId heads = attention.node(Op::MultiHeadAttention, {qkv, qkv, qkv},
                                         {{"heads", int64_t{2}},
                                          {"head_dim", int64_t{8}},
                                          {"k_offset", int64_t{16}},
                                          {"v_offset", int64_t{32}}});
    quantize_node(attention, heads, 0.02f, to);
    expect_kernel(attention, "attention_f32");
  }
}

// Scales are powers of two, so that q, k and v are the same bytes here and there; a weight of the softmax may
// fall to the other side of a tie.
TEST_F(CpuSteps, ByteAttention) {
  for (const Bytes& x : kBytes) {
    for (const bool bytes : {false, true}) {
      GraphBuilder b;
      Tensor scale(DType::kF32, {48});
      for (float& v : scale.as_mutable<float>()) v = 0x1p-9f;
      const ValueId qkv = b.node(
          Op::QuantizedLinear,
          {b.input("x", {kN, 9_d, 20_d}, x.dtype), b.constant(byte_weight({20, 48})), b.constant(scale)},
          {{"x_scale", 0.5f}, {"x_zero_point", x.zero}});
      const int64_t zero = x.zero + (x.dtype == DType::kI8 ? 128 : 0);
      const ValueId heads = b.node(Op::MultiHeadAttention, {qkv, qkv, qkv},
                                   {{"heads", int64_t{2}},
                                    {"head_dim", int64_t{8}},
                                    {"k_offset", int64_t{16}},
                                    {"v_offset", int64_t{32}},
                                    {"scale", 0x1p-10f},
                                    {"query_scale", 0x1p-3f},
                                    {"query_zero", zero},
                                    {"key_scale", 0x1p-2f},
                                    {"key_zero", int64_t{128}},
                                    {"weights_scale", 0x1p-8f},
                                    {"weights_zero", int64_t{0}},
                                    {"value_scale", 0x1p-3f},
                                    {"value_zero", int64_t{110}}});
      if (bytes) quantize_node(b, heads, 0.5f, x);
      expect_kernel(b, "attention_u8s8", "", 0x1p-8 * 0x1p-3 * 255);
    }
  }
}

TEST_F(CpuSteps, AttentionStaysInFloatsWhereSomethingElseReadsItsInput) {
  GraphBuilder b;
  Tensor scale(DType::kF32, {24});
  for (float& v : scale.as_mutable<float>()) v = 0x1p-9f;
  const ValueId qkv = b.node(
      Op::QuantizedLinear,
      {b.input("x", {kN, 9_d, 20_d}, DType::kU8), b.constant(byte_weight({20, 24})), b.constant(scale)},
      {{"x_scale", 0.5f}, {"x_zero_point", int64_t{128}}});
  const ValueId heads =
      b.node(Op::MultiHeadAttention, {qkv, qkv, qkv}, {{"heads", int64_t{1}}, {"head_dim", int64_t{24}}});
  b.node(Op::Add, {heads, qkv});
  expect_kernel(b, "binary_f32");
}

TEST_F(CpuSteps, QuantizersStayWhereTheFloatsAreReadToo) {
  GraphBuilder b;
  const ValueId y = b.node(Op::LayerNormalization, {b.input("x", {kN, 5_d, 37_d}), b.weight({37})});
  const ValueId q = quantize_node(b, y, 0.02f, kBytes[1]);
  const ValueId real = b.node(Op::DequantizeLinear, {q, b.real(0.02f), zero_of(b, kBytes[1])});
  b.node(Op::Add, {y, real});
  expect_kernel(b, "binary_f32");
}

}  // namespace
}  // namespace vitrail::testing
