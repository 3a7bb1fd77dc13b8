// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail::cpu {

// How many images of a batch to run through the whole graph at a time so that activations stay in the caches:
// a batch of 32 ViTs moves gigabytes between layers when it goes layer by layer, and nothing but cache misses
// comes of it. INT64_MAX when a node may mix rows of the batch or lies on the reference loops; such a graph
// runs batches whole.
int64_t images_per_slice(const Graph& graph);

}  // namespace vitrail::cpu
