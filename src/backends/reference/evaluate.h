// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "graph/graph.h"
#include "vitrail/status.h"
#include "vitrail/tensor.h"

namespace vitrail {

class ThreadPool;

// Computes the outputs of one node from concrete inputs; a null pointer stands for an optional input that is
// absent. Shapes come from the tensors, never from the graph. Float arithmetic runs in double and is rounded
// once; float16 and bfloat16 go through float32. Outputs may share their storage with inputs. With a pool the
// large products run on all its threads; the result does not depend on how many there are. Fails with
// kBadInput, naming the layer, when operands, attributes or types do not fit the operator, and with kResource
// when the outputs would not fit into memory.
Result<std::vector<Tensor>> evaluate_node(const Node& node, std::span<const Tensor* const> inputs,
                                          ThreadPool* pool = nullptr);

}  // namespace vitrail
