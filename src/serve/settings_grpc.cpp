// SPDX-License-Identifier: Apache-2.0
#include "serve/settings_grpc.h"

namespace vitrail::serve {

using Json = nlohmann::json;

Json read_settings(const inference::LogSettingsRequest& message) {
  Json out = Json::object();
  for (const auto& [name, value] : message.settings()) {
    if (value.has_bool_param())
      out[name] = value.bool_param();
    else if (value.has_uint32_param())
      out[name] = value.uint32_param();
    else if (value.has_string_param())
      out[name] = value.string_param();
    else
      out[name] = nullptr;
  }
  return out;
}

Json read_settings(const inference::TraceSettingRequest& message) {
  Json out = Json::object();
  for (const auto& [name, setting] : message.settings()) {
    if (setting.value_size() == 0) {
      out[name] = nullptr;
    } else if (setting.value_size() == 1) {
      out[name] = setting.value(0);
    } else {
      out[name] = Json::array();
      for (const std::string& value : setting.value()) out[name].push_back(value);
    }
  }
  return out;
}

void write_settings(const nlohmann::ordered_json& settings, inference::LogSettingsResponse& message) {
  for (const auto& [name, value] : settings.items()) {
    auto& to = (*message.mutable_settings())[name];
    if (value.is_boolean())
      to.set_bool_param(value.get<bool>());
    else if (value.is_number())
      to.set_uint32_param(value.get<uint32_t>());
    else
      to.set_string_param(value.get<std::string>());
  }
}

void write_settings(const nlohmann::ordered_json& settings, inference::TraceSettingResponse& message) {
  for (const auto& [name, value] : settings.items()) {
    auto& to = (*message.mutable_settings())[name];
    if (value.is_array())
      for (const auto& element : value) to.add_value(element.get<std::string>());
    else
      to.add_value(value.get<std::string>());
  }
}

}  // namespace vitrail::serve
