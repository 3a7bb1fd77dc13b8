// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "graph/graph.h"

namespace vitrail {

// Where an engine is not what was asked for, a sentence for each kind of layer, with how many, what they got
// and the first one's name and reason: products and attention in another precision than the build's, and
// layers that a device backend leaves to the host. Empty when all is well. Norms and additions keep a higher
// precision by design and are not counted.
std::vector<std::string> downgrades(const EngineInfo& info);

// For a backend whose 8 bits lie around zero (tensorrt): how many activations of the model have a zero point, and by how
// much the widest step grows in the symmetric range that holds theirs. Nothing where none grows by a hundredth.
std::optional<std::string> widened_ranges(const Graph& graph);

}  // namespace vitrail
