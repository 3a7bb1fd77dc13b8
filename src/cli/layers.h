// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/engine.h"
#include "runtime/backend.h"

namespace vitrail::cli {

// What each layer got, as `build` and `explain` show it. With reasons, a line for every kernel that declined.
std::string layer_table(const std::vector<LayerReport>& layers, bool with_reasons);
nlohmann::ordered_json layers_json(const std::vector<LayerReport>& layers);

std::string plan_text(const MemoryPlan& plan, int64_t batch, int threads);
nlohmann::ordered_json plan_json(const MemoryPlan& plan, int64_t batch);

}  // namespace vitrail::cli
