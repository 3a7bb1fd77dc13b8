// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"

namespace vitrail {

// infer_shapes() for one node of the graph, whose inputs have been inferred: sets dtype, shape and integer
// content of its outputs, each unset where it cannot be known. Fails with kBadInput where operands or
// attributes do not fit.
Status infer_node(Graph& graph, Node& node);

// The element type that a number of ONNX's TensorProto.DataType stands for (attribute `to` of Cast);
// kUndefined for those that Vitrail does not know.
DType dtype_from_onnx(int64_t data_type);

}  // namespace vitrail
