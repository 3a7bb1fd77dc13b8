// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/table.h"

namespace vitrail::cpu {

size_t attention_scratch_floats(const AttentionArgs& args, int threads) {
  return static_cast<size_t>(threads * round_up(attention_head_floats(args), kPanel));
}

void attention(const Kernels& kernels, ThreadPool& pool, const AttentionArgs& args, float* scratch) {
  // One task is one head of one batch entry. When these do not occupy the threads evenly, the queries are cut
  // as well, in whole strips; each part packs the head's keys anew, so not into more than needed.
  constexpr int64_t kTasksPerThread = 4;
  const int64_t heads = args.batch * args.heads;
  const int64_t strips = ceil_div(args.sq, kernels.strip);
  int64_t parts = 1;
  while (parts < strips && heads * parts < kTasksPerThread * pool.threads() &&
         heads * parts % pool.threads() != 0)
    ++parts;
  const Blocks cut(strips, ceil_div(strips, parts));
  const int64_t per_thread = round_up(attention_head_floats(args), kPanel);
  pool.parallel_for(heads * cut.count, [&](int64_t task, int thread) {
    const int64_t head = task / cut.count;
    const int64_t part = task % cut.count;
    const int64_t first = cut.start(part) * kernels.strip;
    const int64_t last = std::min(args.sq, (cut.start(part) + cut.size(part)) * kernels.strip);
    kernels.attention_head(args, head / args.heads, head % args.heads, first, last,
                           scratch + thread * per_thread);
  });
}

}  // namespace vitrail::cpu
