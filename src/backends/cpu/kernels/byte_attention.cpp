// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/table.h"

namespace vitrail::cpu {

ByteAttentionScratch::ByteAttentionScratch(const ByteAttentionArgs& args)
    : key_columns(round_up(args.sk, kPanel)),
      value_columns(round_up(args.dv, kPanel)),
      key_depth(round_up(args.d, kDepthStep)),
      value_depth(round_up(args.sk, kDepthStep)),
      bytes(0) {
  const auto place = [this](int64_t count) {
    const int64_t offset = bytes;
    bytes += round_up(count, 64);
    return offset;
  };
  constexpr int64_t kInt = 4;
  keys = place(key_columns * key_depth);
  values = place(value_columns * value_depth);
  key_starts = place(key_columns * kInt);
  value_starts = place(value_columns * kInt);
  scores = place(kMostBlockRows * key_columns * kInt);
  row = place(key_columns * kInt);
  weights = place(kMostBlockRows * value_depth);
  packed = place(kMostBlockRows * kMostExpansion * std::max(key_depth, value_depth));
  sums = place(kMostBlockRows * value_columns * kInt);
}

size_t byte_attention_scratch_bytes(const ByteAttentionArgs& args, int threads) {
  return static_cast<size_t>(threads * ByteAttentionScratch(args).bytes);
}

void byte_attention(const Kernels& kernels, ThreadPool& pool, const ByteAttentionArgs& args,
                    uint8_t* scratch) {
  // As attention(): one task is a head of one batch entry, or a part of its queries.
  constexpr int64_t kTasksPerThread = 4;
  const int64_t heads = args.batch * args.heads;
  const int64_t blocks = ceil_div(args.sq, kernels.integers.block);
  int64_t parts = 1;
  while (parts < blocks && heads * parts < kTasksPerThread * pool.threads() &&
         heads * parts % pool.threads() != 0)
    ++parts;
  const Blocks cut(args.sq, ceil_div(args.sq, parts));
  const int64_t per_thread = ByteAttentionScratch(args).bytes;
  pool.parallel_for(heads * cut.count, [&](int64_t task, int thread) {
    const int64_t head = task / cut.count;
    const int64_t first = cut.start(task % cut.count);
    kernels.integers.attention_head(args, head / args.heads, head % args.heads, first,
                                    first + cut.size(task % cut.count), scratch + thread * per_thread);
  });
}

}  // namespace vitrail::cpu
