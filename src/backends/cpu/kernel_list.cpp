// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "backends/cpu/steps/steps.h"

namespace vitrail::cpu {
namespace {

// Best first within an operator. Whatever all of them refuse runs on the reference backend's loops.
constexpr std::array kEntries{
    KernelEntry{Op::Linear, "gemm_f32", refuse_linear, prepare_linear, make_linear},
    KernelEntry{Op::QuantizedLinear, "gemm_u8s8", refuse_quantized_linear, prepare_quantized_linear,
                make_quantized_linear},
    KernelEntry{Op::QuantizeLinear, "quantize_u8", refuse_quantize, nullptr, make_quantize},
    KernelEntry{Op::PatchEmbed, "patch_gemm_f32", refuse_patch_embed, prepare_patch_embed, make_patch_embed},
    KernelEntry{Op::MultiHeadAttention, "attention_u8s8", refuse_byte_attention, nullptr,
                make_byte_attention},
    KernelEntry{Op::MultiHeadAttention, "attention_f32", refuse_attention, nullptr, make_attention},
    KernelEntry{Op::MatMul, "batched_gemm_f32", refuse_matmul, nullptr, make_matmul},
    KernelEntry{Op::LayerNormalization, "layer_norm_f32", refuse_layer_norm, nullptr, make_layer_norm},
    KernelEntry{Op::Softmax, "softmax_f32", refuse_softmax, nullptr, make_softmax},
    KernelEntry{Op::ReduceMean, "reduce_f32", refuse_reduce, nullptr, make_reduce},
    KernelEntry{Op::ReduceSum, "reduce_f32", refuse_reduce, nullptr, make_reduce},
    KernelEntry{Op::ReduceMax, "reduce_f32", refuse_reduce, nullptr, make_reduce},
    KernelEntry{Op::ReduceMin, "reduce_f32", refuse_reduce, nullptr, make_reduce},
    KernelEntry{Op::ReduceL2, "reduce_f32", refuse_reduce, nullptr, make_reduce},
    KernelEntry{Op::GlobalAveragePool, "reduce_f32", refuse_reduce, nullptr, make_reduce},
    KernelEntry{Op::BatchNormalization, "batch_norm_f32", refuse_batch_norm, nullptr, make_batch_norm},
    KernelEntry{Op::AveragePool, "pool_f32", refuse_pool, nullptr, make_pool},
    KernelEntry{Op::MaxPool, "pool_f32", refuse_pool, nullptr, make_pool},
    KernelEntry{Op::Conv, "conv_f32", refuse_conv, nullptr, make_conv},
    KernelEntry{Op::ConvTranspose, "conv_transpose_f32", refuse_conv, prepare_conv_transpose, make_conv},
    KernelEntry{Op::Resize, "resize_linear_f32", refuse_resize, nullptr, make_resize},
    KernelEntry{Op::Relu, "unary_f32", refuse_unary, nullptr, make_unary},
    KernelEntry{Op::Gelu, "unary_f32", refuse_unary, nullptr, make_unary},
    KernelEntry{Op::Sigmoid, "unary_f32", refuse_unary, nullptr, make_unary},
    KernelEntry{Op::Tanh, "unary_f32", refuse_unary, nullptr, make_unary},
    KernelEntry{Op::Erf, "unary_f32", refuse_unary, nullptr, make_unary},
    KernelEntry{Op::Exp, "unary_f32", refuse_unary, nullptr, make_unary},
    KernelEntry{Op::Sqrt, "unary_f32", refuse_unary, nullptr, make_unary},
    KernelEntry{Op::Abs, "unary_f32", refuse_unary, nullptr, make_unary},
    KernelEntry{Op::Neg, "unary_f32", refuse_unary, nullptr, make_unary},
    KernelEntry{Op::Reciprocal, "unary_f32", refuse_unary, nullptr, make_unary},
    KernelEntry{Op::Clip, "clip_f32", refuse_clip, nullptr, make_clip},
    KernelEntry{Op::Add, "binary_f32", refuse_binary, nullptr, make_binary},
    KernelEntry{Op::Sub, "binary_f32", refuse_binary, nullptr, make_binary},
    KernelEntry{Op::Mul, "binary_f32", refuse_binary, nullptr, make_binary},
    KernelEntry{Op::Div, "binary_f32", refuse_binary, nullptr, make_binary},
    KernelEntry{Op::Cast, "cast_u8_f32", refuse_cast, nullptr, make_cast},
    KernelEntry{Op::Reshape, "view", refuse_view, nullptr, nullptr},
    KernelEntry{Op::Flatten, "view", refuse_view, nullptr, nullptr},
    KernelEntry{Op::Squeeze, "view", refuse_view, nullptr, nullptr},
    KernelEntry{Op::Unsqueeze, "view", refuse_view, nullptr, nullptr},
    KernelEntry{Op::Identity, "view", refuse_view, nullptr, nullptr},
    KernelEntry{Op::Transpose, "copy", refuse_copy, nullptr, make_copy},
    KernelEntry{Op::Concat, "copy", refuse_copy, nullptr, make_copy},
    KernelEntry{Op::Split, "copy", refuse_copy, nullptr, make_copy},
    KernelEntry{Op::Slice, "copy", refuse_copy, nullptr, make_copy},
    KernelEntry{Op::Gather, "copy", refuse_copy, nullptr, make_copy},
    KernelEntry{Op::Expand, "copy", refuse_copy, nullptr, make_copy},
};

}  // namespace

std::span<const KernelEntry> entries() { return kEntries; }

const KernelEntry* find_entry(std::string_view name, Op op) {
  for (const KernelEntry& entry : kEntries)
    if (entry.op == op && entry.name == name) return &entry;
  return nullptr;
}

std::string refuse_view(const Graph&, const Node&) { return ""; }

}  // namespace vitrail::cpu
