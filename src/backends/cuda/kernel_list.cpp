// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernel_list.h"

#include <array>

#include "backends/cuda/steps/steps.h"

namespace vitrail::cuda {
namespace {

// Best first within an operator. Whatever all of them refuse runs on the host.
constexpr std::array kEntries{
    KernelEntry{Op::Linear, "gemm_wgmma", refuse_linear_own, make_linear},
    KernelEntry{Op::Linear, "cublaslt", refuse_linear_lt, make_linear},
    KernelEntry{Op::QuantizedLinear, "gemm_wgmma", refuse_quantized_linear, make_linear},
    KernelEntry{Op::PatchEmbed, "patch_gemm", refuse_patch_embed, make_patch_embed},
    KernelEntry{Op::MultiHeadAttention, "attention", refuse_attention, make_attention},
    KernelEntry{Op::MatMul, "cublaslt_batched", refuse_matmul, make_matmul},
    KernelEntry{Op::LayerNormalization, "layer_norm", refuse_layer_norm, make_layer_norm},
    KernelEntry{Op::RowStats, "row_stats", refuse_row_stats, make_row_stats},
    KernelEntry{Op::Softmax, "softmax", refuse_softmax, make_softmax},
    KernelEntry{Op::ReduceMean, "mean", refuse_mean, make_mean},
    KernelEntry{Op::Relu, "unary", refuse_unary, make_unary},
    KernelEntry{Op::Gelu, "unary", refuse_unary, make_unary},
    KernelEntry{Op::Sigmoid, "unary", refuse_unary, make_unary},
    KernelEntry{Op::Tanh, "unary", refuse_unary, make_unary},
    KernelEntry{Op::Erf, "unary", refuse_unary, make_unary},
    KernelEntry{Op::Exp, "unary", refuse_unary, make_unary},
    KernelEntry{Op::Sqrt, "unary", refuse_unary, make_unary},
    KernelEntry{Op::Abs, "unary", refuse_unary, make_unary},
    KernelEntry{Op::Neg, "unary", refuse_unary, make_unary},
    KernelEntry{Op::Reciprocal, "unary", refuse_unary, make_unary},
    KernelEntry{Op::Add, "binary", refuse_binary, make_binary},
    KernelEntry{Op::Sub, "binary", refuse_binary, make_binary},
    KernelEntry{Op::Mul, "binary", refuse_binary, make_binary},
    KernelEntry{Op::Div, "binary", refuse_binary, make_binary},
    KernelEntry{Op::QuantizeLinear, "quantize", refuse_quantize, make_quantize},
    KernelEntry{Op::DequantizeLinear, "dequantize", refuse_dequantize, make_dequantize},
    KernelEntry{Op::Cast, "convert", refuse_convert, make_convert},
    KernelEntry{Op::Reshape, "view", refuse_view, nullptr},
    KernelEntry{Op::Flatten, "view", refuse_view, nullptr},
    KernelEntry{Op::Squeeze, "view", refuse_view, nullptr},
    KernelEntry{Op::Unsqueeze, "view", refuse_view, nullptr},
    KernelEntry{Op::Identity, "view", refuse_view, nullptr},
    KernelEntry{Op::Transpose, "copy", refuse_copy, make_copy},
    KernelEntry{Op::Concat, "copy", refuse_copy, make_copy},
    KernelEntry{Op::Split, "copy", refuse_copy, make_copy},
    KernelEntry{Op::Slice, "copy", refuse_copy, make_copy},
    KernelEntry{Op::Gather, "copy", refuse_copy, make_copy},
    KernelEntry{Op::Gather, "gather", refuse_gather, make_gather},
    KernelEntry{Op::Expand, "copy", refuse_copy, make_copy},
};

}  // namespace

std::span<const KernelEntry> entries() { return kEntries; }

const KernelEntry* find_entry(std::string_view name, Op op) {
  for (const KernelEntry& entry : kEntries)
    if (entry.op == op && entry.name == name) return &entry;
  return nullptr;
}

std::string refuse_view(const Graph&, const Node&, const Target&) { return ""; }

}  // namespace vitrail::cuda
