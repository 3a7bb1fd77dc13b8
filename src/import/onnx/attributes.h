// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"
#include "import/onnx/tensor_reader.h"

namespace vitrail::onnx_import {

// Whether the attribute holds a whole graph, as those of If, Loop and Scan do.
bool holds_graph(const onnx::AttributeProto& attribute);

Result<Attribute> read_attribute(const onnx::AttributeProto& attribute, TensorReader& tensors);

// What a Constant node makes, of whichever of its attributes it has.
Result<Tensor> read_constant(const onnx::NodeProto& node, TensorReader& tensors);

}  // namespace vitrail::onnx_import
