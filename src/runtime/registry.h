// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/backend.h"

namespace vitrail {

// The backends of one process. Nothing registers itself: whoever may name the backends (api/backends.h) adds
// them, the preferred one first.
class BackendRegistry {
 public:
  void add(std::unique_ptr<Backend> backend) { backends_.push_back(std::move(backend)); }

  std::span<const std::unique_ptr<Backend>> all() const { return backends_; }

  // The backend of that name, ready to be used; it belongs to the registry. kUsage with the names that exist
  // when there is no such backend; kUnavailable with the backend's own reason when this machine or build
  // cannot run it.
  Result<const Backend*> find(std::string_view name) const;

 private:
  std::vector<std::unique_ptr<Backend>> backends_;
};

}  // namespace vitrail
