// SPDX-License-Identifier: Apache-2.0
// Passes that take away what computes nothing. All of them need inferred shapes (infer_shapes or
// fold_constants) and leave them valid; each returns how many nodes it changed.
#pragma once

#include "graph/graph.h"

namespace vitrail {

// Reshape, Squeeze, Unsqueeze and Flatten become a Reshape with one input and the attribute `shape`, in which
// one -1 at most stands for the extent that depends on the batch. A node with two such extents stays as it
// is. A Resize to computed sizes gets constant ones for the axes that change.
int resolve_shape_operands(Graph& graph);

// Takes out nodes that give what they are given: Identity, Dropout, casts to the same type, and movements
// that move nothing.
int remove_no_ops(Graph& graph);

// Takes out sums with zeros, and choices by a test, that are the same for every element whatever the batch: an
// attention mask that hides nothing.
int remove_uniform_operands(Graph& graph);

// A Transpose of a Transpose and a Reshape of a Reshape read the first one's input.
int merge_movement(Graph& graph);

// What is left of shape arithmetic in front of Expand and others that need the batch (the class token
// expanded to N rows) becomes one Concat of the extent of a graph input and constants.
int simplify_batch_operands(Graph& graph);

// All of the above until nothing changes, then without dead nodes and unused values. Value ids change.
Status cleanup(Graph& graph);

}  // namespace vitrail
