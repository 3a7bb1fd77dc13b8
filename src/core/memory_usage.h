// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace vitrail {

// Starts a new measurement of the peak: sets the kernel's high-water mark to what is resident now (proc(5),
// clear_refs 5). False where the kernel does not allow it; then peak_rss_bytes() counts from the process's
// start.
bool reset_peak_rss();

// Most bytes resident at once since the last successful reset, 0 when the system does not tell.
int64_t peak_rss_bytes();

// Bytes resident now, 0 when the system does not tell.
int64_t resident_bytes();

}  // namespace vitrail
