// SPDX-License-Identifier: Apache-2.0
#include "runtime/registry.h"

#include "core/error.h"

namespace vitrail {

Result<const Backend*> BackendRegistry::find(std::string_view name) const {
  std::string known;
  for (const auto& backend : backends_) {
    if (backend->name() == name) {
      VTL_TRY(backend->available().with_context(fmt::format("backend '{}' is not available here", name)));
      return backend.get();
    }
    known += fmt::format("{}{}", known.empty() ? "" : ", ", backend->name());
  }
  return usage_error("there is no backend '{}'; there are: {}", name, known);
}

}  // namespace vitrail
