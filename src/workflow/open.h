// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"
#include "runtime/registry.h"
#include "runtime/session.h"

namespace vitrail {

// An engine file ready to make sessions from.
struct OpenedEngine {
  BackendRegistry backends;
  std::shared_ptr<const Engine> engine;
  std::shared_ptr<const Program> program;
  std::string isa;          // of the host's cores that the program runs on; empty for a device
  double load_seconds = 0;  // map, validate and prepare
};

struct OpenOptions {
  std::string isa;  // empty: the best of this machine
  int threads = 1;  // that check the hashes
};

// Whether a backend of that name computes on the host's cores.
bool runs_on_host(std::string_view backend);

Result<OpenedEngine> open_engine(const std::string& path, const OpenOptions& options);

}  // namespace vitrail
