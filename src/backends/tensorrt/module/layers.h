// SPDX-License-Identifier: Apache-2.0
// One function for each family of operators: reads the inputs of Network::node() and sets its outputs. A
// tensor that comes out as null is a failure that the network reports.
#pragma once

#include "backends/tensorrt/module/network.h"

namespace vitrail::tensorrt {

using Emitter = void (*)(Network&);

// Null for an operator that TensorRT is not told.
Emitter emitter_of(Op op);

void emit_unary(Network&);
void emit_binary(Network&);
void emit_gelu(Network&);
void emit_clip(Network&);
void emit_cast(Network&);
void emit_where(Network&);
void emit_reduce(Network&);
void emit_softmax(Network&);
void emit_layer_norm(Network&);
// The LayerNorm that a plugin computes together with the sum of the layer and its input `residual`; null without one.
const Node* norm_of_sum(const Network&, size_t residual);
// Sets output 0 of the layer to y, which may be rows, plus input `residual` where it has one, and norm_of_sum().
void set_sum(Network&, nv::ITensor* y, size_t residual, bool are_rows = false);

// The layer's activation of rows. TensorRT 8.5 compiles a kernel for each tactic that it tries with one, 2 to 3 s each, and
// fuses it where bytes come out alone: elsewhere GELU is a plugin.
nv::ITensor* row_activation(Network&, nv::ITensor* rows);

void emit_linear(Network&);
void emit_matmul(Network&);
void emit_gemm(Network&);
void emit_conv(Network&);
void emit_pool(Network&);
void emit_patch_embed(Network&);
void emit_attention(Network&);

void emit_concat(Network&);
void emit_reshape(Network&);  // and all that only changes extents
void emit_transpose(Network&);
void emit_slice(Network&);
void emit_split(Network&);
void emit_gather(Network&);
void emit_expand(Network&);

void emit_quantize(Network&);
void emit_dequantize(Network&);
void emit_quantized_linear(Network&);

}  // namespace vitrail::tensorrt
