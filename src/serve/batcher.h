// SPDX-License-Identifier: Apache-2.0
// Which requests run together, and when: pure functions of the queue, the time and the policy.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "serve/cost.h"

namespace vitrail::serve {

inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// What the batcher knows of a request that waits. Times are nanoseconds of one clock.
struct Waiting {
  int64_t arrival_ns = 0;
  int64_t deadline_ns = kNever;  // it is rejected, or delayed, when it still waits then
  int64_t rows = 1;
  int priority = 0;
  bool delays = false;   // what its deadline does
  bool delayed = false;  // its deadline is over
};

struct Policy {
  int64_t max_batch = 1;           // rows
  bool merge = true;               // whether rows of several requests may run together
  std::vector<int64_t> preferred{};  // rows, ascending; a batch of such a size runs at once
  int64_t max_delay_ns = 0;        // longest that a request waits for others to join it
  CostTable cost{};                // with it nobody waits longer than waiting gains
  int64_t interval_ns = 0;         // usual time between arrivals; 0: not known
  bool explore = false;            // try a batch larger than what is enough: costs change, and first ones mislead
};

struct Decision {
  enum class Kind {
    kRun,     // the first `count` requests
    kWait,    // until an arrival, or for wait_ns (kNever: the queue is empty)
    kReject,  // the request at `index`: its time is over
    kDelay,   // the same, but it goes behind its like (queue_policy.h) and has no deadline any more
  };
  Kind kind = Kind::kWait;
  size_t count = 0;
  int64_t wait_ns = kNever;
  size_t index = 0;
  bool operator==(const Decision&) const = default;
};

// `queue` is in the order in which requests shall run. Sizes as Triton forms them: the largest preferred one that the
// head of the queue gives, else as much as fits once nothing more fits or the delay is over. Without preferred sizes a
// batch grows only as far as that gains (CostTable::enough), and of a queue that costs less in two parts the first runs.
Decision decide(std::span<const Waiting> queue, int64_t now_ns, const Policy& policy);

// kReject or kDelay for the first request whose time is over, else kWait: what decide() asks before all else.
Decision first_due(std::span<const Waiting> queue, int64_t now_ns);

// When the first of them has to be rejected; kNever when none ever.
int64_t next_deadline(std::span<const Waiting> queue);

// Nanoseconds until a request that arrives now would have been answered: what still runs (the instances' sum), the rows
// before it and its own, on so many instances.
double expected_latency_ns(int64_t running_ns, int64_t rows_before, int64_t rows, int instances, const Policy& policy);

// The policy that keeps answers within `slo_ns` for a model of such costs: a request may come just after a batch has
// begun, so two batches have to fit; what is left may be waited.
Policy policy_for_slo(int64_t slo_ns, Policy policy);

}  // namespace vitrail::serve
