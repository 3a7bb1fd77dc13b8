// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>

#include "graph/graph.h"
#include "onnx/onnx.pb.h"

namespace vitrail::onnx_import {

// The operator of a node of an ONNX file; none for other domains, for operators that Vitrail does not have
// and for those that only its passes make.
std::optional<Op> find_operator(const onnx::NodeProto& node);

// Whether a node is an If, of which the importer keeps one branch.
bool is_branch(const onnx::NodeProto& node);

// Fails when there are nodes of unknown operators, listing every such operator once with what can be done
// about it.
Status check_operators(std::span<const onnx::NodeProto* const> nodes, const onnx::ModelProto& model,
                       int64_t opset);

}  // namespace vitrail::onnx_import
