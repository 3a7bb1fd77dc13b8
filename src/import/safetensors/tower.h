// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "import/safetensors/builder.h"
#include "import/safetensors/config.h"
#include "import/safetensors/weights.h"

namespace vitrail::safetensors {

// Appends the whole model to the builder's graph: input, embeddings, blocks, head, outputs. What is missing among the
// weights is left to weights.check(): the graph is only good when that succeeds.
void build_model(const Config& config, Weights& weights, Builder& builder);

// A head that attends with one learned query (SigLIP, timm's "map"), on [N, T, D]: [N, D].
ValueId attention_pool(const Config& config, Weights& weights, Builder& builder, ValueId x, int64_t tokens);

// What follows the blocks' output x [N, T, D], by family.
void build_head(const Config& config, Weights& weights, Builder& builder, ValueId x, int64_t tokens, int64_t prefix);

}  // namespace vitrail::safetensors
