// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/tactics.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"

namespace vitrail::cuda {
namespace {

constexpr int kFormat = 3;
constexpr size_t kMaxBytes = size_t{64} << 20;

std::map<std::string, Timing> read(const std::string& path) {
  if (path.empty()) return {};
  const auto text = read_file(path, kMaxBytes);
  if (!text.ok()) return {};
  const auto document = nlohmann::json::parse(*text, nullptr, false);
  if (!document.is_object() || document.value("format", nlohmann::json()) != kFormat) return {};
  std::map<std::string, Timing> timings;
  const auto list = document.find("timings");
  if (list == document.end() || !list->is_object()) return {};
  for (const auto& [key, entry] : list->items()) {
    if (!entry.is_object() || !entry.contains("config") || !entry.contains("us") ||
        !entry["config"].is_string() || !entry["us"].is_number())
      continue;
    timings[key] = {entry["config"].get<std::string>(), entry["us"].get<double>()};
  }
  return timings;
}

}  // namespace

std::string default_cache_path() {
  if (const char* base = std::getenv("XDG_CACHE_HOME"); base && *base)
    return std::string(base) + "/vitrail/tactics.json";
  if (const char* home = std::getenv("HOME"); home && *home)
    return std::string(home) + "/.cache/vitrail/tactics.json";
  return "";
}

std::string tactic_key(const Device& device, const Product& p) {
  const GemmArgs& a = p.args;
  const auto flag = [](bool on, char c) { return on ? std::string(1, c) : std::string(); };
  const std::string residual =
      !a.residual ? "" : (a.residual_rows == a.m ? std::string("r") : fmt::format("t{}", a.residual_rows));
  return fmt::format("{}|{}|{}|{}{}>{}|{}x{}x{}|a{}{}{}{}{}{}{}{}", device.name, version_text(device.driver),
                     version_text(device.runtime), type_name(p.type), p.tf32 ? "/tf32" : "", type_name(a.out),
                     a.m, a.n, a.k, static_cast<int>(a.activation), flag(a.bias, 'b'), flag(a.col_scale, 'c'),
                     flag(a.stats, 's'), residual, flag(a.d, 'd'), flag(a.stats_out, 'o'), flag(a.d8, 'q'));
}

TacticCache TacticCache::open(const std::string& path) {
  TacticCache cache;
  cache.path_ = path;
  cache.timings_ = read(path);
  return cache;
}

std::optional<Timing> TacticCache::find(const std::string& key) const {
  const auto at = timings_.find(key);
  return at == timings_.end() ? std::nullopt : std::optional(at->second);
}

void TacticCache::put(const std::string& key, Timing timing) {
  timings_[key] = std::move(timing);
  changed_ = true;
}

Status TacticCache::save() const {
  if (path_.empty() || !changed_) return {};
  auto all = read(path_);
  for (const auto& [key, timing] : timings_) all[key] = timing;
  nlohmann::json list = nlohmann::json::object();
  for (const auto& [key, timing] : all)
    list[key] = {{"config", timing.config}, {"us", std::isfinite(timing.us) ? timing.us : 0.0}};
  const nlohmann::json document{{"format", kFormat}, {"timings", std::move(list)}};
  std::error_code error;
  if (const auto folder = std::filesystem::path(path_).parent_path(); !folder.empty())
    std::filesystem::create_directories(folder, error);
  return write_file_atomically(path_, document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace vitrail::cuda
