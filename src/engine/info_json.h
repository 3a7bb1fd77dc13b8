// SPDX-License-Identifier: Apache-2.0
// The metadata segment of a .vtl file: EngineInfo without its certificate.
#pragma once

#include <string>
#include <string_view>

#include "engine/engine.h"

namespace vitrail {

Result<std::string> info_to_json(const EngineInfo& info);
Result<EngineInfo> info_from_json(std::string_view text);

}  // namespace vitrail
