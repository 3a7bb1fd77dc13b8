// SPDX-License-Identifier: Apache-2.0
// Settings of log and trace between gRPC's messages and the JSON that HTTP has.
#pragma once

#include <nlohmann/json.hpp>

#include "open_inference.pb.h"

namespace vitrail::serve {

nlohmann::json read_settings(const inference::LogSettingsRequest& message);
nlohmann::json read_settings(const inference::TraceSettingRequest& message);
void write_settings(const nlohmann::ordered_json& settings, inference::LogSettingsResponse& message);
void write_settings(const nlohmann::ordered_json& settings, inference::TraceSettingResponse& message);

}  // namespace vitrail::serve
