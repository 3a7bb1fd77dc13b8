// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "runtime/backend.h"

namespace vitrail {

// A buffer that is written at step `first` and last read at step `last`, both inclusive.
struct BufferRequest {
  ValueId value;
  int64_t bytes;
  int first;
  int last;
};

inline constexpr int64_t kBufferAlignment = 64;

// Gives each buffer an offset in one arena so that buffers which live at the same step do not overlap. Greedy
// by size (Pisarchyk & Lee, "Efficient Memory Management for Deep Neural Net Inference", MLSys 2020): the
// largest buffer first, each into the tightest gap that its lifetime leaves. Quadratic in the number of
// buffers. `values` comes back in the order of the requests; scratch_bytes stays 0.
MemoryPlan plan_memory(std::span<const BufferRequest> requests);

}  // namespace vitrail
