// SPDX-License-Identifier: Apache-2.0
// trtexec's account of a run, in its words and its order, so that what reads its output reads ours.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "bench/bench.h"

namespace vitrail {

// "=== Performance summary ===" and the lines below it, of one batch size, times in ms. One query is one
// batch. What a machine without a GPU has not (enqueue, copies, GPU compute) is left out; latency is host to
// host. `percentiles` in (0, 100), trtexec's own are 90, 95, 99.
std::string trtexec_summary(const BenchResult& result, const std::vector<double>& percentiles);

// --exportProfile: [{"count"}, {name, timeMs, averageMs, medianMs, percentage}, …] of a result with layers.
nlohmann::ordered_json trtexec_profile(const BenchResult& result);

}  // namespace vitrail
