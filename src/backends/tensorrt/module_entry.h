// SPDX-License-Identifier: Apache-2.0
// Where the program and the module meet.
#pragma once

#include "runtime/backend.h"
#include "runtime/plan_options.h"

namespace vitrail::tensorrt {

// What the module gets from the program that opens it: it has its own copy of the static libraries.
struct Host {
  bool (*cancelled)() = nullptr;
};

// The one function that the module exports. Null when the module is of another build (`version` and the size
// of what both share must agree). The backend lives as long as the module, which is never closed.
using Entry = const Backend* (*)(const char* version, size_t layout, const Host& host);
inline constexpr const char* kEntryName = "vitrail_tensorrt_backend";
inline constexpr const char* kModuleName = "libvitrail_tensorrt.so";

// Changes when a struct that crosses the boundary changes.
inline constexpr size_t kLayout = sizeof(CompileOptions) * 1000003 + sizeof(Graph) * 10007 +
                                  sizeof(LayerReport) * 101 + sizeof(ContextOptions) * 11 +
                                  sizeof(PlanOptions) * 7 + sizeof(EngineInfo) * 3;

}  // namespace vitrail::tensorrt
