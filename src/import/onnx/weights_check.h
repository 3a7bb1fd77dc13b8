// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"
#include "import/onnx/import.h"

namespace vitrail::onnx_import {

// NaN and infinite elements of a tensor; 0 for types that have none.
int64_t count_nonfinite(const TensorView& tensor);

// The same for a weight. Scalars pass: an infinite one is the usual filler of attention masks.
int64_t nonfinite_weights(const Tensor& tensor);

// The warning, when there is something to warn of.
void warn_of_nonfinite(const std::string& first, ImportReport& report);

}  // namespace vitrail::onnx_import
