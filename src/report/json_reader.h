// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "vitrail/status.h"

namespace vitrail::report {

// One object of a file, read with types and ranges checked. The first fault is kept in `status`, naming the
// file and the path of the key ("results[2].mean_us"); what is read after a fault is empty.
class JsonReader {
 public:
  JsonReader(const nlohmann::json& json, std::string path, Status& status)
      : json_(json), path_(std::move(path)), status_(status) {}

  bool ok() const { return status_.ok(); }
  bool has(const char* key) const;  // present and not null
  // The member must be there, finite and at least `least`.
  double number(const char* key, double least) const;
  std::optional<double> optional_number(const char* key, double least) const;
  int64_t integer(const char* key, int64_t least, int64_t most) const;
  int64_t integer_or(const char* key, int64_t fallback, int64_t least, int64_t most) const;
  bool boolean(const char* key) const;  // must be there
  bool boolean_or(const char* key, bool fallback) const;
  std::string text(const char* key) const;  // empty when absent
  std::vector<std::string> texts(const char* key) const;
  std::vector<double> numbers(const char* key, size_t most) const;
  // Calls f(reader) for each element of an array of objects; absent is empty.
  template <class F>
  void each(const char* key, size_t most, F&& f) const {
    if (!array(key, most)) return;
    const nlohmann::json& list = json_[key];
    for (size_t i = 0; i < list.size() && ok(); ++i) {
      const std::string path = path_of(key) + "[" + std::to_string(i) + "]";
      if (!list[i].is_object()) return fault(path, "must be an object");
      f(JsonReader(list[i], path, status_));
    }
  }
  // The member as an object; an empty one when absent.
  JsonReader object(const char* key) const;
  const nlohmann::json& json() const { return json_; }
  Status& status() const { return status_; }
  void fault(const std::string& path, const std::string& what) const;
  std::string path_of(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }

 private:
  bool array(const char* key, size_t most) const;  // present, an array and not too long

  const nlohmann::json& json_;
  std::string path_;
  Status& status_;
};

}  // namespace vitrail::report
