// SPDX-License-Identifier: Apache-2.0
#include "report/json_reader.h"

#include <cmath>

#include "core/error.h"

namespace vitrail::report {
namespace {

const nlohmann::json kEmpty = nlohmann::json::object();

}  // namespace

void JsonReader::fault(const std::string& path, const std::string& what) const {
  if (status_.ok()) status_ = bad_input("key '{}' {}", path, what);
}

bool JsonReader::has(const char* key) const {
  const auto it = json_.find(key);
  return it != json_.end() && !it->is_null();
}

double JsonReader::number(const char* key, double least) const {
  if (!ok()) return 0;
  if (!has(key)) return fault(path_of(key), "is missing"), 0;
  const nlohmann::json& value = json_[key];
  if (!value.is_number()) return fault(path_of(key), "must be a number"), 0;
  const auto x = value.get<double>();
  if (!std::isfinite(x) || x < least)
    return fault(path_of(key), fmt::format("is {}; at least {}", x, least)), 0;
  return x;
}

std::optional<double> JsonReader::optional_number(const char* key, double least) const {
  if (!ok() || !has(key)) return std::nullopt;
  return number(key, least);
}

int64_t JsonReader::integer(const char* key, int64_t least, int64_t most) const {
  const double x = number(key, static_cast<double>(least));
  if (!ok()) return least;
  if (x != std::floor(x) || x > static_cast<double>(most))
    return fault(path_of(key), fmt::format("is {}; a whole number of at most {}", x, most)), least;
  return static_cast<int64_t>(x);
}

int64_t JsonReader::integer_or(const char* key, int64_t fallback, int64_t least, int64_t most) const {
  return has(key) ? integer(key, least, most) : fallback;
}

bool JsonReader::boolean(const char* key) const {
  if (!has(key)) return fault(path_of(key), "is missing"), false;
  return boolean_or(key, false);
}

bool JsonReader::boolean_or(const char* key, bool fallback) const {
  if (!has(key)) return fallback;
  if (!json_[key].is_boolean()) return fault(path_of(key), "must be true or false"), fallback;
  return json_[key].get<bool>();
}

std::string JsonReader::text(const char* key) const {
  if (!has(key)) return "";
  if (!json_[key].is_string()) return fault(path_of(key), "must be a string"), "";
  return json_[key].get<std::string>();
}

bool JsonReader::array(const char* key, size_t most) const {
  if (!ok() || !has(key)) return false;
  if (!json_[key].is_array()) return fault(path_of(key), "must be an array"), false;
  if (json_[key].size() > most)
    return fault(path_of(key), fmt::format("has {} elements; at most {}", json_[key].size(), most)), false;
  return true;
}

std::vector<std::string> JsonReader::texts(const char* key) const {
  std::vector<std::string> out;
  if (!array(key, 1000)) return out;
  for (const nlohmann::json& value : json_[key]) {
    if (!value.is_string()) return fault(path_of(key), "must hold strings only"), out;
    out.push_back(value.get<std::string>());
  }
  return out;
}

std::vector<double> JsonReader::numbers(const char* key, size_t most) const {
  std::vector<double> out;
  if (!array(key, most)) return out;
  for (const nlohmann::json& value : json_[key]) {
    const double x = value.is_number() ? value.get<double>() : NAN;
    if (!std::isfinite(x)) return fault(path_of(key), "must hold finite numbers only"), out;
    out.push_back(x);
  }
  return out;
}

JsonReader JsonReader::object(const char* key) const {
  if (!has(key)) return JsonReader(kEmpty, path_of(key), status_);
  if (!json_[key].is_object()) {
    fault(path_of(key), "must be an object");
    return JsonReader(kEmpty, path_of(key), status_);
  }
  return JsonReader(json_[key], path_of(key), status_);
}

}  // namespace vitrail::report
