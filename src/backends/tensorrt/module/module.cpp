// SPDX-License-Identifier: Apache-2.0
// The module's one door.
#include <cstring>

#include "backends/tensorrt/module/host.h"
#include "backends/tensorrt/module/plan_backend.h"
#include "vitrail/version.h"

extern "C" __attribute__((visibility("default"))) const vitrail::Backend* vitrail_tensorrt_backend(
    const char* version, size_t layout, const vitrail::tensorrt::Host& from) {
  if (std::strcmp(version, vitrail::version()) != 0 || layout != vitrail::tensorrt::kLayout) return nullptr;
  vitrail::tensorrt::set_host(from);
  static const vitrail::tensorrt::PlanBackend backend;
  return &backend;
}
