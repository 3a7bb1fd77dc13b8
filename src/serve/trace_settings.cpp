// SPDX-License-Identifier: Apache-2.0
#include "serve/trace_settings.h"

#include <algorithm>
#include <limits>

#include "core/parse_number.h"

namespace vitrail::serve {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxModels = 4096;  // that have settings of their own

// A whole number, as the protocol's string or as a number.
template <class T>
Fault read_number(const std::string& name, const Json& value, T least, std::optional<T>& to) {
  std::string text;
  if (value.is_string()) text = value.get<std::string>();
  if (value.is_number_integer()) text = value.dump();
  T number{};
  if (!parse_number(text, number) || number < least)
    return fault(Cause::kInvalid, "{}: it must be a whole number from {} to {}, as a string", name, least,
                 std::numeric_limits<T>::max());
  to = number;
  return {};
}

Fault read_level(const Json& value, std::optional<TraceLevels>& to) {
  const Json list = value.is_array() ? value : Json::array({value});
  TraceLevels levels;
  bool off = false, known = !list.empty();
  for (const Json& level : list) {
    off |= level == "OFF";
    levels.timestamps |= level == "TIMESTAMPS";
    levels.tensors |= level == "TENSORS";
    known &= level == "OFF" || level == "TIMESTAMPS" || level == "TENSORS";
  }
  if (!known || (off && (levels.timestamps || levels.tensors)))
    return {Cause::kInvalid, "trace_level: it must be [\"OFF\"], or one or both of \"TIMESTAMPS\" and \"TENSORS\""};
  to = levels;
  return {};
}

}  // namespace

TraceValues TraceSettings::Overrides::over(TraceValues v) const {
  if (levels) v.timestamps = levels->timestamps, v.tensors = levels->tensors;
  v.rate = rate.value_or(v.rate);
  v.count = count.value_or(v.count);
  v.log_frequency = log_frequency.value_or(v.log_frequency);
  return v;
}

TraceSettings::TraceSettings(const TraceValues& start, bool writable, bool tensors)
    : start_(start), writable_(writable), tensors_(tensors), any_(start.on()), global_{{}, std::make_shared<TraceGroup>(start)} {}

const std::shared_ptr<const TraceGroup>& TraceSettings::group(const std::string& model) const {
  const auto it = models_.find(model);
  return it == models_.end() ? global_.group : it->second.group;
}

std::shared_ptr<const TraceGroup> TraceSettings::sample(const std::string& model, bool asked) {
  if (!any_.load(std::memory_order_relaxed)) return nullptr;
  std::unique_lock lock(mutex_);
  const std::shared_ptr<const TraceGroup> group = this->group(model);
  lock.unlock();
  if (!group->values.on()) return nullptr;
  if (asked) return group;
  if (group->values.rate == 0 || (group->seen.fetch_add(1) + 1) % group->values.rate != 0) return nullptr;
  if (group->values.count >= 0 && group->left.fetch_sub(1) <= 0) {
    group->left = 0;
    return nullptr;
  }
  return group;
}

Fault TraceSettings::read(const Json& settings, Overrides& to) {
  if (!settings.is_object()) return {Cause::kInvalid, "trace settings are a JSON object"};
  for (const auto& [name, value] : settings.items()) {
    Fault bad;
    if (name == "trace_level")
      value.is_null() ? to.levels.reset() : (void)(bad = read_level(value, to.levels));
    else if (name == "trace_rate")
      value.is_null() ? to.rate.reset() : (void)(bad = read_number<uint32_t>(name, value, 0, to.rate));
    else if (name == "trace_count")
      value.is_null() ? to.count.reset() : (void)(bad = read_number<int32_t>(name, value, -1, to.count));
    else if (name == "log_frequency")
      value.is_null() ? to.log_frequency.reset() : (void)(bad = read_number<uint32_t>(name, value, 0, to.log_frequency));
    else if (name == "trace_file" || name == "trace_mode")
      bad = fault(Cause::kInvalid, "{}: it cannot be changed over the network; start the server with --trace-config", name);
    else
      bad = {Cause::kInvalid, "no such trace setting; there are trace_level, trace_rate, trace_count and log_frequency"};
    if (!bad.ok()) return bad;
  }
  return {};
}

Fault TraceSettings::update(const std::string& model, const Json& settings) {
  const std::lock_guard lock(mutex_);
  Overrides next;
  if (model.empty())
    next = global_.overrides;
  else if (const auto it = models_.find(model); it != models_.end())
    next = it->second.overrides;
  if (Fault bad = read(settings, next); !bad.ok()) return bad;
  if (settings.empty()) return {};
  const TraceLevels levels = next.levels.value_or(TraceLevels());
  if (levels.tensors && !tensors_)
    return {Cause::kInvalid, "trace_level: OpenTelemetry's spans have no tensors; start the server with --trace-config mode=triton"};
  if ((levels.timestamps || levels.tensors) && !writable_)
    return {Cause::kInvalid, "trace_level: there is no file to write to; start the server with --trace-config triton,file=PATH"};
  if (model.empty()) {
    global_ = {next, std::make_shared<TraceGroup>(next.over(start_))};
    for (auto& [name, setting] : models_)
      setting.group = std::make_shared<TraceGroup>(setting.overrides.over(global_.group->values));
  } else if (next.empty()) {
    models_.erase(model);
  } else if (models_.size() >= kMaxModels && !models_.contains(model)) {
    return fault(Cause::kInvalid, "{} models have trace settings of their own already", kMaxModels);
  } else {
    models_[model] = {next, std::make_shared<TraceGroup>(next.over(global_.group->values))};
  }
  bool any = global_.group->values.on();
  for (const auto& [name, setting] : models_) any |= setting.group->values.on();
  any_ = any;
  return {};
}

TraceValues TraceSettings::values(const std::string& model) const {
  const std::lock_guard lock(mutex_);
  const TraceGroup& g = *group(model);
  TraceValues values = g.values;
  if (values.count >= 0) values.count = static_cast<int32_t>(std::max<int64_t>(g.left, 0));
  return values;
}

}  // namespace vitrail::serve
