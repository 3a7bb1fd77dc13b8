// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "vitrail/status.h"

namespace vitrail {

// Reads JSON whose form is not to be trusted. Nothing throws: the first member that is missing, of another
// type or out of range is remembered in `status`, and zeros and empty lists come back from then on.
class JsonCursor {
 public:
  JsonCursor(const nlohmann::json& json, Status& status) : json_(&json), status_(&status) {}

  bool has(const char* key) const { return json_->is_object() && json_->contains(key); }
  JsonCursor operator[](const char* key) const;  // a member of an object
  JsonCursor operator[](size_t index) const;     // an element of an array
  size_t size() const;                           // of an array

  int64_t integer(int64_t least = std::numeric_limits<int64_t>::min(),
                  int64_t most = std::numeric_limits<int64_t>::max()) const;
  double real() const;  // also "nan", "inf" and "-inf", see real_to_json()
  std::string text() const;

  // f(key, cursor) for each member of an object.
  template <class F>
  void for_each_member(F&& f) const {
    if (!json_->is_object()) return fault("is not an object");
    for (const auto& [key, value] : json_->items()) f(key, JsonCursor(value, *status_, key));
  }
  // f(cursor) for each element of an array.
  template <class F>
  void for_each(F&& f) const {
    for (size_t i = 0; i < size(); ++i) f((*this)[i]);
  }

  const nlohmann::json& json() const { return *json_; }
  bool ok() const { return status_->ok(); }
  void fault(std::string_view what) const;  // "'key' what"

 private:
  JsonCursor(const nlohmann::json& json, Status& status, std::string key)
      : json_(&json), status_(&status), key_(std::move(key)) {}
  JsonCursor null() const;

  const nlohmann::json* json_;
  Status* status_;
  std::string key_;  // of the nearest object member, for messages
};

// A number, or a word for what JSON has no number for.
nlohmann::json real_to_json(double value);

// The document, or where it stops being JSON.
Result<nlohmann::json> parse_json(std::string_view text);
// Compact, keys sorted. kBadInput when a string is not UTF-8.
Result<std::string> dump_json(const nlohmann::json& json);

}  // namespace vitrail
