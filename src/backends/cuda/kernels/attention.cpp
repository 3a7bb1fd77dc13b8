// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/attention.h"

#include <algorithm>

namespace vitrail::cuda {

std::string refuse_attention(const AttentionArgs& a) {
  if (a.d > 128 || a.dv > 128) return "head wider than 128";
  const int unit = a.type == Type::kF32 ? 4 : 8;
  if (a.d % unit || a.dv % unit || a.q_row % unit || a.k_row % unit || a.v_row % unit || a.out_row % unit)
    return "heads or rows are not a multiple of 16 bytes";
  if (a.type != Type::kF32 && a.type != Type::kF16 && a.type != Type::kBF16) return "not a floating type";
  return "";
}

cudaError_t plan_attention(const AttentionArgs& args, int multiprocessors, AttentionPlan* plan) {
  if (!refuse_attention(args).empty()) return cudaErrorInvalidValue;
  *plan = {args, multiprocessors};
  return cudaSuccess;
}

cudaError_t launch_attention(const AttentionPlan& plan, cudaStream_t stream, bool dependent) {
  const AttentionArgs& a = plan.args;
  const int multiprocessors = plan.multiprocessors;
  if (a.type == Type::kF32) return detail::launch_attention_f32(a, stream, dependent);
  // A warp takes 16 queries. As few blocks as fill the machine, since each block reads all keys and values; among
  // those the width that leaves the fewest warps idle.
  const int tiles = (a.sq + 15) / 16;
  if (a.batch * a.heads * ((tiles + 3) / 4) < multiprocessors)
    return detail::launch_attention_half(a, -std::min(4, (a.sk + 63) / 64), stream, dependent);
  int best = 1;
  double best_cost = 1e30;
  for (int warps = 1; warps <= 8; ++warps) {
    const int64_t blocks = a.batch * a.heads * ((tiles + warps - 1) / warps);
    const int64_t resident = std::max(1, 16 / warps);  // blocks that share a multiprocessor
    const double rounds = static_cast<double>((blocks + multiprocessors * resident - 1) / (multiprocessors * resident));
    // Time of a round: the products of 16 resident warps, and the loads, that all warps of a block share.
    const double cost = rounds * (16.0 + 8.0 * static_cast<double>(resident) / 2);
    if (cost < best_cost * 0.999) best_cost = cost, best = warps;
  }
  return detail::launch_attention_half(a, best, stream, dependent);
}

}  // namespace vitrail::cuda
