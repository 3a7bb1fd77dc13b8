// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail {

// Patch embedding of a ViT (Dosovitskiy et al. 2021): the convolution with kernel = stride, flattened and
// transposed, becomes PatchEmbed [N, P, C]; class and register tokens put before it and position embeddings
// added to it become the rows of one table [prefix + P, C]. Returns how many convolutions were fused.
int fuse_patch_embed(Graph& graph);

}  // namespace vitrail
