// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail {

// A model whose weights are float16 or bfloat16 becomes one in float32, inputs and outputs included: the weights exactly, while
// what the model rounds to 16 bits between its layers stays float32. Which precision it then runs in is the backend's business.
// Models that quantize are left as they are, as their scales say what is rounded. Returns the type that was widened, kUndefined
// when nothing changed. Types are only set where they are known before shape inference, which must follow.
DType widen_halves(Graph& graph);

}  // namespace vitrail
