// SPDX-License-Identifier: Apache-2.0
// Eight bits between the layers of the CPU backend.
#pragma once

#include <optional>
#include <string>

#include "backends/cpu/kernels/kernels.h"
#include "graph/graph.h"

namespace vitrail::cpu {

// A QuantizeLinear of one scale, from float32 to 8 bits, as the kernels want it; none when it is another.
std::optional<ByteScale> byte_scale(const Graph& graph, const Node& quantize);

// Whether the first kernel that takes the node can also write bytes.
bool can_write_bytes(const Graph& graph, const Node& node);

// Moves each such QuantizeLinear into the LayerNormalization, QuantizedLinear or MultiHeadAttention that
// makes its input for it alone: that node then makes the bytes (attributes `q_scale` and `q_zero`, which are
// QuantizeLinear's), and no float of the value is written. Returns how many moved.
int fuse_quantizers(Graph& graph);

// How a node writes its output: none for float32, else as fuse_quantizers() left it.
std::optional<ByteScale> output_bytes(const Graph& graph, const Node& node);
// Why a kernel that writes float32 or such bytes cannot write this output; empty when it can.
std::string refuse_output(const Graph& graph, const Node& node);

}  // namespace vitrail::cpu
