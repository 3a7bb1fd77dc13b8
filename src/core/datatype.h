// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "vitrail/tensor.h"

namespace vitrail {

// The Open Inference Protocol's names of element types ("FP32", "INT64"); empty for a type that it has none for.
std::string_view datatype_name(DType dtype);
DType datatype_from_name(std::string_view name);  // kUndefined when unknown, and for "BYTES"

}  // namespace vitrail
