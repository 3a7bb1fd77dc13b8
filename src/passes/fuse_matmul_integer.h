// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail {

// MatMulInteger by a constant matrix whose numbers less their zero point fit in int8, read as float32: what
// ONNX Runtime's quantize_dynamic writes, and the import restates as Cast(MatMul((x − x₀), W)) in int32. It
// becomes a QuantizedLinear with scales of 1. A zero point that is known only at run time leaves the sum:
// Σ (x − x₀) W = Σ (x − c) W − (x₀ − c) Σ W with the middle c of the type, in float32, exact while the sums
// stay below 2²⁴. Returns how many products were fused.
int fuse_matmul_integer(Graph& graph);

}  // namespace vitrail
