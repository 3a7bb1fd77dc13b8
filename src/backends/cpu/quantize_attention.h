// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail::cpu {

// Where a model quantizes the products of an attention (attention_scales.h), the integer products that make
// q, k and v write its bytes: uint8, each operand's scale and zero point folded into those of the columns
// that hold it. Returns how many attentions read bytes now. Not with a mask, nor where something else reads
// q, k or v too.
int quantize_attention(Graph& graph);

}  // namespace vitrail::cpu
