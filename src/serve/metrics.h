// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "serve/service.h"
#include "serve/system_metrics.h"

namespace vitrail::serve {

// The Prometheus text format: Triton's names, and histograms of latency, queueing and batch size of our own.
std::string metrics_text(Service& service, SystemMetrics& system);

}  // namespace vitrail::serve
