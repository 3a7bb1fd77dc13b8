// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "onnx/onnx.pb.h"
#include "vitrail/status.h"

namespace vitrail::onnx_import {

// Replaces every call of a function that the model brings along (as PyTorch's dynamo exporter writes them) by
// the function's layers, functions inside functions included. Fails on recursion and on a model that unfolds
// beyond all bounds.
Status inline_functions(onnx::ModelProto& model, int64_t opset);

}  // namespace vitrail::onnx_import
