// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "vitrail/status.h"

namespace vitrail::quant {

// Looks for the fewest layers to keep in higher precision. `ranked` holds layers, the most sensitive first; `good`
// measures a model that keeps the given ones. First the shortest run from the front that is good (doubling, then
// bisection: about 2 log2 n measurements, the loss being taken to fall with every layer kept), then each layer of
// it is given up for which the rest is still good, the least sensitive first, at most `tries` of them. The layers
// kept, ascending; all of them when nothing less is good.
Result<std::vector<size_t>> fewest_kept(std::span<const size_t> ranked,
                                        const std::function<Result<bool>(std::span<const size_t> kept)>& good,
                                        int tries);

}  // namespace vitrail::quant
