// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail {

// Floating-point operations of a node for a batch of N images, a multiply-add counting as two. Matrix
// products, convolutions and attention are exact; element-wise work counts one for each output element;
// movement counts none. Needs inferred shapes; a node without them costs 0.
double flops(const Graph& graph, const Node& node, int64_t batch);

// Bytes of the node's outputs for a batch of N images.
int64_t activation_bytes(const Graph& graph, const Node& node, int64_t batch);

// Bytes that a node reads and writes for a batch of N images, each of its inputs and outputs once.
double traffic_bytes(const Graph& graph, const Node& node, int64_t batch);

// Elements of all float constants that nodes read.
int64_t parameter_count(const Graph& graph);

}  // namespace vitrail
