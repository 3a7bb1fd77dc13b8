// SPDX-License-Identifier: Apache-2.0
#include "serve/queue_policy.h"

#include <algorithm>
#include <utility>

namespace vitrail::serve {

const QueuePolicy& QueuePolicies::of(int priority) const {
  const auto it = special.find(priority);
  return it == special.end() ? usual : it->second;
}

int64_t timeout_ns(const QueuePolicy& policy, int64_t wanted_ns) {
  if (!policy.allow_timeout_override || wanted_ns <= 0) return policy.default_timeout_ns;
  return policy.default_timeout_ns > 0 ? std::min(policy.default_timeout_ns, wanted_ns) : wanted_ns;
}

size_t waiting_at(std::span<const Waiting> queue, int priority) {
  return static_cast<size_t>(std::ranges::count(queue, priority, &Waiting::priority));
}

size_t place_of(std::span<const Waiting> queue, int priority, bool delayed) {
  const auto key = [](int p, bool late) { return std::pair(p, late); };
  size_t at = queue.size();
  while (at > 0 && key(queue[at - 1].priority, queue[at - 1].delayed) > key(priority, delayed)) --at;
  return at;
}

}  // namespace vitrail::serve
