// SPDX-License-Identifier: Apache-2.0
// Triton's ModelQueuePolicy, one for each priority, as pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>

#include "serve/batcher.h"

namespace vitrail::serve {

struct QueuePolicy {
  bool delays = false;             // timeout_action: DELAY puts a request behind its like, REJECT refuses it
  int64_t default_timeout_ns = 0;  // 0: none
  bool allow_timeout_override = true;
  size_t max_queue = 128;  // requests that wait at this priority; more are refused at once
  bool operator==(const QueuePolicy&) const = default;
};

struct QueuePolicies {
  QueuePolicy usual;
  std::map<int, QueuePolicy> special;  // by priority
  const QueuePolicy& of(int priority) const;
};

// How long a request may wait: as the policy says, or shorter where the request says so and may. 0: for ever.
int64_t timeout_ns(const QueuePolicy& policy, int64_t wanted_ns);

// How many requests of a priority wait.
size_t waiting_at(std::span<const Waiting> queue, int priority);

// Where a request joins the queue: behind those of the same and of higher priorities that are on time, before those
// of lower ones; a delayed one also behind its like that were delayed before it.
size_t place_of(std::span<const Waiting> queue, int priority, bool delayed);

}  // namespace vitrail::serve
