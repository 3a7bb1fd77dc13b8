// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/bench.h"

namespace vitrail {

// Appends to report.warnings what makes its figures less than they look: spread, shortened runs, a machine
// that was not set up for measuring.
void add_warnings(BenchReport& report);

}  // namespace vitrail
