// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "engine/engine.h"

namespace vitrail {

// Bytes of a tensor; nothing when its rank, an extent or the product is negative or absurd.
std::optional<int64_t> checked_bytes(DType dtype, const Shape& shape);

// What must hold of every engine, when it is written and when it is read: a sound graph whose inputs and
// outputs have types and shapes, sizes that fit at the largest batch, profiles with 1 <= min <= opt <= max, a
// certificate that is JSON.
Status validate_engine(const EngineInfo& info, const Graph& graph);

}  // namespace vitrail
