// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "report/model.h"
#include "vitrail/status.h"

namespace vitrail::report {

// Reads the JSON outputs of bench, verify and optimize and of benchmarks/peers.py. A file holds one object
// with "results" (a run) or "outputs" (a verification), an array of such, or an object that holds them under
// "bench", "verify", "peers" or "runs" (each an object or an array). Errors name the file and the key.
Result<Data> read_runs(std::span<const std::string> files);

// The same from text, for one file called `name`; adds to `data`.
Status read_run(std::string_view text, const std::string& name, Data& data);

}  // namespace vitrail::report
