// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "serve/http_message.h"
#include "serve/service.h"
#include "serve/system_metrics.h"

namespace vitrail::serve {

struct AccessOptions {
  bool allow_control = false;  // control endpoints from other than loopback addresses
  std::string token;           // control endpoints want "Authorization: Bearer <token>"; empty: none
};

// Whether a caller may load and unload models or change settings.
Fault check_control(const AccessOptions& access, bool from_loopback, std::string_view authorization);

// The Open Inference Protocol over HTTP, with Triton's extensions, and /classify. Compressed bodies inflate to at most
// `max_body` bytes.
HttpHandler make_routes(Service& service, AccessOptions access, uint64_t max_body);
// GET /metrics. Both outlive what it gives.
HttpHandler make_metrics_routes(Service& service, SystemMetrics& system);

}  // namespace vitrail::serve
