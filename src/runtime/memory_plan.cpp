// SPDX-License-Identifier: Apache-2.0
#include "runtime/memory_plan.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

namespace vitrail {
namespace {

int64_t aligned(int64_t bytes) {
  return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
}

// `placed` are the buffers alive together with the new one, by offset. The tightest gap between them, or
// their end.
int64_t best_fit(std::span<const PlannedValue* const> placed, int64_t bytes) {
  std::optional<int64_t> best;
  int64_t best_gap = 0, end = 0;
  for (const PlannedValue* p : placed) {
    const int64_t gap = p->offset - end;
    if (gap >= bytes && (!best || gap < best_gap)) {
      best = end;
      best_gap = gap;
    }
    end = std::max(end, p->offset + aligned(p->bytes));
  }
  return best.value_or(end);
}

// The most bytes that are alive at one step: no arena can be smaller.
int64_t most_alive(std::span<const BufferRequest> requests) {
  std::map<int64_t, int64_t> change;
  for (const BufferRequest& r : requests) {
    change[r.first] += aligned(r.bytes);
    change[int64_t{r.last} + 1] -= aligned(r.bytes);
  }
  int64_t alive = 0, most = 0;
  for (const auto& [step, bytes] : change) most = std::max(most, alive += bytes);
  return most;
}

}  // namespace

MemoryPlan plan_memory(std::span<const BufferRequest> requests) {
  MemoryPlan plan;
  plan.lower_bound_bytes = most_alive(requests);
  for (const BufferRequest& r : requests) {
    plan.values.push_back({r.value, 0, r.bytes, r.first, r.last});
    plan.unshared_bytes += aligned(r.bytes);
  }
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return requests[a].bytes > requests[b].bytes; });

  std::vector<const PlannedValue*> by_offset, alive;
  for (size_t i : order) {
    PlannedValue& buffer = plan.values[i];
    alive.clear();
    for (const PlannedValue* p : by_offset)
      if (p->first_node <= buffer.last_node && buffer.first_node <= p->last_node) alive.push_back(p);
    buffer.offset = best_fit(alive, aligned(buffer.bytes));
    plan.arena_bytes = std::max(plan.arena_bytes, buffer.offset + aligned(buffer.bytes));
    auto place = std::upper_bound(by_offset.begin(), by_offset.end(), buffer.offset,
                                  [](int64_t offset, const PlannedValue* p) { return offset < p->offset; });
    by_offset.insert(place, &buffer);
  }
  return plan;
}

}  // namespace vitrail
