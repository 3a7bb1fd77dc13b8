// SPDX-License-Identifier: Apache-2.0
#include "import/safetensors/weights.h"

#include <algorithm>

#include "core/error.h"

namespace vitrail::safetensors {
namespace {

constexpr size_t kListed = 20;  // of each kind

std::string list(const char* what, const std::vector<std::string>& names) {
  if (names.empty()) return {};
  std::string text = fmt::format("; {} {}: ", names.size(), what);
  for (size_t i = 0; i < std::min(names.size(), kListed); ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > kListed) text += fmt::format(" and {} more", names.size() - kListed);
  return text;
}

}  // namespace

int64_t Weights::rows(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end() || found->second.shape.size() < 2) return 0;
  return found->second.shape[found->second.shape.size() - 2];
}

Tensor Weights::take(const std::string& name, const Shape& shape) {
  const auto found = entries_.find(name);
  taken_.insert(name);
  if (found == entries_.end()) {
    missing_.push_back(name);
    return {};
  }
  if (found->second.shape != shape) {
    wrong_.push_back(fmt::format("{} is {} instead of {}", name, to_string(found->second.shape), to_string(shape)));
    return {};
  }
  auto tensor = to_float(found->second);
  if (tensor.ok()) return std::move(*tensor);
  wrong_.push_back(name + " " + tensor.status().message());
  return {};
}

Tensor Weights::take_rows(const std::string& name, int64_t first, int64_t rows, int64_t total, const Shape& row) {
  Shape whole{total}, part{rows};
  whole.insert(whole.end(), row.begin(), row.end());
  part.insert(part.end(), row.begin(), row.end());
  const bool known = taken_.contains(name);
  const auto found = entries_.find(name);
  // A packed weight is taken several times: what is wrong with it is said once.
  if (found == entries_.end() || found->second.shape != whole) {
    if (!known) (void)take(name, whole);
    return {};
  }
  taken_.insert(name);
  Entry cut = found->second;
  cut.shape = part;
  cut.bytes = found->second.bytes / static_cast<size_t>(total) * static_cast<size_t>(rows);
  cut.data = found->second.data + found->second.bytes / static_cast<size_t>(total) * static_cast<size_t>(first);
  auto tensor = to_float(cut);
  if (tensor.ok()) return std::move(*tensor);
  if (!known) wrong_.push_back(name + " " + tensor.status().message());
  return {};
}

Status Weights::check() const {
  std::vector<std::string> superfluous;
  const auto ignored = [&](const std::string& name) {
    return std::ranges::any_of(ignored_, [&](const std::string& part) { return name.starts_with(part) || name.ends_with(part); });
  };
  for (const auto& [name, entry] : entries_)
    if (!taken_.contains(name) && !ignored(name)) superfluous.push_back(name);
  if (missing_.empty() && wrong_.empty() && superfluous.empty()) return {};
  return bad_input("its weights do not fit its config.json{}{}{}: is it the config.json of this model?",
                   list("missing", missing_), list("of another shape or type", wrong_),
                   list("superfluous", superfluous));
}

}  // namespace vitrail::safetensors
