// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "backends/reference/kernel.h"

namespace vitrail::reference {

// Where index `i` of axis `axis` of an output reads: the element offset that it adds, or kFill.
using OffsetRule = std::function<int64_t(size_t axis, int64_t i)>;
inline constexpr int64_t kFill = -1;

// An output of the given shape whose element (i0, i1, …) is source[rule(0, i0) + rule(1, i1) + …], or `fill`
// (one element; zero when null) where any of them is kFill. This one loop is every operator that only moves
// data.
Result<Tensor> copy_by_offsets(const Call& call, const Tensor& source, const Shape& shape,
                               const OffsetRule& rule, const void* fill = nullptr);

}  // namespace vitrail::reference
