// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "onnx/onnx.pb.h"
#include "vitrail/status.h"

namespace vitrail::onnx_import {

// The graph's nodes, each after the makers of its inputs, otherwise in the order of the file. Fails on a
// cycle and on a value that two nodes make.
Result<std::vector<const onnx::NodeProto*>> sorted_nodes(const onnx::GraphProto& graph);

// Calls visit for each value that the node reads, and those that the graphs inside it may read.
void visit_inputs(const onnx::NodeProto& node, const std::function<void(const std::string&)>& visit);

// The node's name, or one of its operator and its first output.
std::string layer_name(const onnx::NodeProto& node);

}  // namespace vitrail::onnx_import
