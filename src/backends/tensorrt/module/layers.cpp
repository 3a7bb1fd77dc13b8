// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/layers.h"

#include <array>

namespace vitrail::tensorrt {
namespace {

void emit_identity(Network& n) { n.set(0, n.in(0)); }

struct Row {
  Emitter emit;
  std::initializer_list<Op> ops;
};

}  // namespace

Emitter emitter_of(Op op) {
  static const Row kRows[] = {
      {emit_unary,
       {Op::Abs,       Op::Ceil, Op::Cos,      Op::Erf,  Op::Exp,        Op::Floor,     Op::HardSigmoid,
        Op::LeakyRelu, Op::Log,  Op::Neg,      Op::Not,  Op::Reciprocal, Op::Relu,      Op::Round,
        Op::Sigmoid,   Op::Sin,  Op::Softplus, Op::Sqrt, Op::Tanh,       Op::HardSwish, Op::Sign}},
      {emit_binary,
       {Op::Add, Op::And, Op::Div, Op::Equal, Op::Greater, Op::Less, Op::Max, Op::Min, Op::Mul, Op::Or,
        Op::Pow, Op::Sub, Op::GreaterOrEqual, Op::LessOrEqual}},
      {emit_gelu, {Op::Gelu}},
      {emit_clip, {Op::Clip}},
      {emit_cast, {Op::Cast, Op::CastLike}},
      {emit_identity, {Op::Identity, Op::Dropout}},
      {emit_where, {Op::Where}},
      {emit_reduce,
       {Op::ReduceL2, Op::ReduceMax, Op::ReduceMean, Op::ReduceMin, Op::ReduceProd, Op::ReduceSum,
        Op::ReduceSumSquare, Op::GlobalAveragePool}},
      {emit_softmax, {Op::Softmax, Op::LogSoftmax}},
      {emit_layer_norm, {Op::LayerNormalization}},
      {emit_linear, {Op::Linear}},
      {emit_matmul, {Op::MatMul}},
      {emit_gemm, {Op::Gemm}},
      {emit_conv, {Op::Conv}},
      {emit_pool, {Op::AveragePool, Op::MaxPool}},
      {emit_patch_embed, {Op::PatchEmbed}},
      {emit_attention, {Op::MultiHeadAttention}},
      {emit_concat, {Op::Concat}},
      {emit_reshape, {Op::Reshape, Op::Flatten, Op::Squeeze, Op::Unsqueeze}},
      {emit_transpose, {Op::Transpose}},
      {emit_slice, {Op::Slice}},
      {emit_split, {Op::Split}},
      {emit_gather, {Op::Gather}},
      {emit_expand, {Op::Expand}},
      {emit_quantize, {Op::QuantizeLinear}},
      {emit_dequantize, {Op::DequantizeLinear}},
      {emit_quantized_linear, {Op::QuantizedLinear}},
  };
  for (const Row& row : kRows)
    for (Op o : row.ops)
      if (o == op) return row.emit;
  return nullptr;
}

}  // namespace vitrail::tensorrt
