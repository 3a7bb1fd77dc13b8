// SPDX-License-Identifier: Apache-2.0
// The Python package `vitrail`, for what only PyTorch can do.
#pragma once

#include <string>
#include <vector>

#include "vitrail/status.h"

namespace vitrail::cli {

// Becomes `python -m vitrail WORDS…`; returns only where that cannot be started.
Status become_python(const std::vector<std::string>& words);
// Runs it and waits. Its own words are on stderr; the status is that of its exit.
Status run_python(const std::vector<std::string>& words);

}  // namespace vitrail::cli
