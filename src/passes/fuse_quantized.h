// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail {

// The model's own quantization, as ONNX Runtime's quantize_static and NNCF write it: pairs of QuantizeLinear
// and DequantizeLinear (Q/DQ) around float operators.

// MatMul and Gemm of a dequantized activation (one scale) by a dequantized constant int8 matrix become
// QuantizedLinear, which reads the integers; the activation's QuantizeLinear stays. Integer weights that no
// QuantizedLinear reads become float32. A MatMul of two dequantized activations keeps their scales and zero
// points as attributes (attention_scales.h). Returns how many products were fused.
int fuse_quantized(Graph& graph);

// DequantizeLinear(QuantizeLinear(x)) becomes x, or Relu(x) where its numbers begin at 0. That takes the
// model's rounding away, which is what the patterns of attention, GELU and patch embedding need; integer
// products keep theirs, as they read the QuantizeLinear itself, when fuse_quantized() has run. Returns how
// many pairs went.
int drop_fake_quantization(Graph& graph);

}  // namespace vitrail
