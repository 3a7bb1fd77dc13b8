// SPDX-License-Identifier: Apache-2.0
// What Vitrail's plugins compute, whatever the plugin interface of the TensorRT at hand (plugin_layers.h).
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <span>

#include "backends/tensorrt/module/compat.h"

namespace vitrail::tensorrt {

inline constexpr const char* kAttentionPlugin = "VitrailAttention";
inline constexpr const char* kLayerNormPlugin = "VitrailLayerNorm";
inline constexpr const char* kAddLayerNormPlugin = "VitrailAddLayerNorm";
inline constexpr const char* kGeluPlugin = "VitrailGelu";

// What one layer is told, in the order of PluginKind::names; a plan stores it. Integers are exact up to 2^24.
using PluginNumbers = std::array<float, 8>;

struct PluginKind {
  const char* name;
  int32_t inputs, outputs;             // outputs of one shape
  std::span<const char* const> names;  // of the numbers
  // Whether tensor `position` (outputs come last) may be of `type` when the first input is of `first`.
  bool (*takes)(int32_t position, nv::DataType type, nv::DataType first);
  nv::DimsExprs (*shape)(const PluginNumbers& numbers, const nv::DimsExprs* in, nv::IExprBuilder& builder);
  cudaError_t (*run)(const PluginNumbers& numbers, const nv::PluginTensorDesc* in, const void* const* inputs,
                     void* const* outputs, cudaStream_t stream);
};

// Empty where the module was compiled without Vitrail's kernels.
std::span<const PluginKind> plugin_kinds();

// softmax(scale·q·kᵀ)·v in FP32, FP16 or BF16. Inputs: q [B, Sq, …], k and v [B, Sk, …], of which head h is the columns
// offset + h·dim …; output [B, Sq, heads·v_head_dim]. With `tokens`, all of them are [B·tokens, …, 1, 1].
struct AttentionNumbers {
  int64_t heads = 0, head_dim = 0, v_head_dim = 0, q_offset = 0, k_offset = 0, v_offset = 0;
  float scale = 1;
  int64_t tokens = 0;
  PluginNumbers packed() const;
};
// Why the kernels do not compute it with rows of so many columns; empty when they do.
std::string refuse_attention_plugin(const AttentionNumbers& numbers, int64_t q_row, int64_t k_row,
                                    int64_t v_row);

// LayerNorm of rows, statistics in float32. Inputs: x […, columns] or [rows, columns, 1, 1] of FP32, FP16 or BF16, scale
// and bias [columns] of FP32. kAddLayerNormPlugin: x, a residual of some rows that repeat, scale, bias; outputs
// x + residual and its LayerNorm.
inline PluginNumbers layer_norm_numbers(float epsilon) { return {epsilon}; }

// GELU, element by element, of FP32, FP16 or BF16; by tanh, or else by erf.
inline PluginNumbers gelu_numbers(bool tanh) { return {tanh ? 1.0f : 0.0f}; }

}  // namespace vitrail::tensorrt
