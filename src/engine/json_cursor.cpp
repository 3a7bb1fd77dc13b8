// SPDX-License-Identifier: Apache-2.0
#include "engine/json_cursor.h"

#include <cmath>

#include "core/error.h"

namespace vitrail {

JsonCursor JsonCursor::null() const {
  static const nlohmann::json nothing;
  return JsonCursor(nothing, *status_, key_);
}

void JsonCursor::fault(std::string_view what) const {
  if (status_->ok()) *status_ = bad_input("'{}' {}", key_, what);
}

JsonCursor JsonCursor::operator[](const char* key) const {
  if (!has(key)) {
    fault(fmt::format("lacks its member '{}'", key));
    return null();
  }
  return JsonCursor((*json_)[key], *status_, key);
}

JsonCursor JsonCursor::operator[](size_t index) const {
  if (index >= size()) {
    fault(fmt::format("has no element {}", index));
    return null();
  }
  return JsonCursor((*json_)[index], *status_, key_);
}

size_t JsonCursor::size() const {
  if (json_->is_array()) return json_->size();
  fault("is not a list");
  return 0;
}

int64_t JsonCursor::integer(int64_t least, int64_t most) const {
  if (!json_->is_number_integer() || (json_->is_number_unsigned() && json_->get<uint64_t>() > INT64_MAX)) {
    fault("is not an integer");
    return 0;
  }
  const auto value = json_->get<int64_t>();
  if (value >= least && value <= most) return value;
  fault(fmt::format("is {}, outside {} to {}", value, least, most));
  return 0;
}

double JsonCursor::real() const {
  if (json_->is_number()) return json_->get<double>();
  const std::string word = text();
  if (word == "nan") return std::nan("");
  if (word == "inf") return std::numeric_limits<double>::infinity();
  if (word == "-inf") return -std::numeric_limits<double>::infinity();
  fault("is not a number");
  return 0;
}

std::string JsonCursor::text() const {
  if (json_->is_string()) return json_->get<std::string>();
  fault("is not a string");
  return {};
}

nlohmann::json real_to_json(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

Result<nlohmann::json> parse_json(std::string_view text) {
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    return bad_input("not JSON: {}", error.what());
  }
}

Result<std::string> dump_json(const nlohmann::json& json) {
  try {
    return json.dump();
  } catch (const nlohmann::json::exception& error) {
    return bad_input("cannot be written as JSON: {}", error.what());
  }
}

}  // namespace vitrail
