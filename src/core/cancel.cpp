// SPDX-License-Identifier: Apache-2.0
#include "core/cancel.h"

#include <atomic>

namespace vitrail::cancel {
namespace {
std::atomic<bool> flag{false};
static_assert(std::atomic<bool>::is_always_lock_free, "request() is called from a signal handler");
}  // namespace

void request() { flag.store(true, std::memory_order_relaxed); }
bool requested() { return flag.load(std::memory_order_relaxed); }
void reset() { flag.store(false, std::memory_order_relaxed); }

}  // namespace vitrail::cancel
