// SPDX-License-Identifier: Apache-2.0
#include "serve/batcher.h"

#include <algorithm>

namespace vitrail::serve {
namespace {

constexpr double kWorthSplitting = 0.97;  // less is noise of the measurement

struct Prefix {
  size_t count = 0;
  int64_t rows = 0;
};

int64_t largest_batch(const Policy& policy) {
  if (!policy.preferred.empty()) return policy.max_batch;
  const int64_t enough = policy.cost.enough(policy.max_batch);
  return std::min(policy.explore ? 2 * enough : enough, policy.max_batch);
}

// The longest head of the queue that is at most so many rows.
Prefix longest(std::span<const Waiting> queue, int64_t most, const Policy& policy) {
  Prefix p{1, queue[0].rows};
  while (policy.merge && p.count < queue.size() && p.rows + queue[p.count].rows <= most)
    p.rows += queue[p.count++].rows;
  return p;
}

// The longest part of it whose rows make a preferred size; none: a count of 0.
Prefix preferred(std::span<const Waiting> queue, size_t most, const Policy& policy) {
  Prefix best, p;
  while (p.count < most) {
    p.rows += queue[p.count++].rows;
    if (std::ranges::find(policy.preferred, p.rows) != policy.preferred.end()) best = p;
  }
  return best;
}

// The first part where the two together cost less than all at once; else all.
Prefix cheapest(std::span<const Waiting> queue, const Prefix& all, const CostTable& cost) {
  Prefix best = all, p;
  double least = cost.at(all.rows) * kWorthSplitting;
  while (p.count + 1 < all.count) {
    p.rows += queue[p.count++].rows;
    const double both = cost.at(p.rows) + cost.at(all.rows - p.rows);
    if (both < least) best = p, least = both;
  }
  return best;
}

}  // namespace

Decision first_due(std::span<const Waiting> queue, int64_t now_ns) {
  for (size_t i = 0; i < queue.size(); ++i)
    if (queue[i].deadline_ns <= now_ns)
      return {queue[i].delays ? Decision::Kind::kDelay : Decision::Kind::kReject, 0, 0, i};
  return {};
}

Decision decide(std::span<const Waiting> queue, int64_t now_ns, const Policy& policy) {
  if (const Decision due = first_due(queue, now_ns); due.kind != Decision::Kind::kWait) return due;
  if (queue.empty()) return {};
  const int64_t most = largest_batch(policy);
  const Prefix all = longest(queue, most, policy);
  const auto run = [](const Prefix& p) { return Decision{Decision::Kind::kRun, p.count, 0, 0}; };
  if (const Prefix p = preferred(queue, all.count, policy); p.count > 0) return run(p);
  const bool full = !policy.merge || all.count < queue.size() || all.rows >= most;
  if (full) return run(policy.preferred.empty() ? cheapest(queue, all, policy.cost) : all);

  int64_t delay = policy.max_delay_ns;
  if (!policy.cost.empty())
    delay = std::min(delay, static_cast<int64_t>(policy.cost.gain(all.rows, most)));
  int64_t until = kNever;
  const auto compute = static_cast<int64_t>(policy.cost.at(all.rows));
  for (const Waiting& w : queue.first(all.count)) {
    until = std::min(until, w.arrival_ns + delay);
    if (w.deadline_ns != kNever) until = std::min(until, w.deadline_ns - compute);
  }
  // Nobody is expected in that time.
  if (until > now_ns && policy.interval_ns <= until - now_ns) return {Decision::Kind::kWait, 0, until - now_ns, 0};
  return run(policy.preferred.empty() ? cheapest(queue, all, policy.cost) : all);
}

int64_t next_deadline(std::span<const Waiting> queue) {
  int64_t first = kNever;
  for (const Waiting& w : queue) first = std::min(first, w.deadline_ns);
  return first;
}

double expected_latency_ns(int64_t running_ns, int64_t rows_before, int64_t rows, int instances, const Policy& policy) {
  const int64_t full = std::max<int64_t>(largest_batch(policy), 1);
  const double per_row = policy.cost.at(full) / static_cast<double>(full);
  const double before = static_cast<double>(running_ns) + static_cast<double>(rows_before) * per_row;
  return before / std::max(instances, 1) + policy.cost.at(rows);
}

Policy policy_for_slo(int64_t slo_ns, Policy policy) {
  const auto slo = static_cast<double>(slo_ns);
  while (policy.max_batch > 1 && 2 * policy.cost.at(policy.max_batch) > slo) --policy.max_batch;
  policy.max_delay_ns = std::max<int64_t>(0, static_cast<int64_t>(slo - 2 * policy.cost.at(policy.max_batch)));
  return policy;
}

}  // namespace vitrail::serve
