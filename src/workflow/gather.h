// SPDX-License-Identifier: Apache-2.0
// The first half of quantization: what the values in front of the products are like.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "quant/smooth.h"
#include "workflow/samples.h"

namespace vitrail {

struct GatherRequest {
  const Graph& graph;              // simplified; the float model
  std::vector<ValueId> values;     // to follow
  int threads = 1;
  std::function<void()> advanced;  // after each sample; may be empty
};

struct GatheredValues {
  std::map<std::string, quant::ValueStats> stats;
  std::map<std::string, quant::Probe> probes;
  std::string hash;  // of the samples
  int64_t samples = 0;
  std::vector<std::string> skipped;  // why, of samples that could not be read
};

// Runs `count` samples, evenly spread over the source, through the float model and follows the values. When the user interrupts, what was seen
// until then comes back. Each probe keeps about `probe_rows` rows.
Result<GatheredValues> gather(const GatherRequest& request, const SampleSource& source, int64_t count,
                              int64_t probe_rows);

}  // namespace vitrail
