// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

namespace vitrail {

// Nanoseconds since some fixed point. Passed in where time decides something, so that tests can turn it by
// hand.
using Clock = std::function<int64_t()>;

inline int64_t steady_nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace vitrail
