// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/attention.h"

#include <algorithm>
#include <cstdint>

#include "backends/cuda/kernels/tensor_map.h"

namespace vitrail::cuda {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

bool fits_hopper(const AttentionArgs& a) {
  return a.type != Type::kF32 && a.d == 64 && a.dv == 64 && aligned(a.q) && aligned(a.k) && aligned(a.v) &&
         aligned(a.out) && a.out_row % 8 == 0;
}

// The block of keys that leaves the fewest columns idle; of equals the widest.
int choose_keys(int sk) {
  int best = 64;
  for (int keys : {64, 96, 112})
    if (ceil_div(sk, keys) * keys + 8 * ceil_div(sk, keys) <=
        ceil_div(sk, best) * best + 8 * ceil_div(sk, best))
      best = keys;
  return best;
}

// A warp takes 16 queries. As few blocks as fill the machine, since each block reads all keys and values;
// among those the width that leaves the fewest warps idle.
int choose_warps(const AttentionArgs& a, int multiprocessors) {
  int best = 1;
  double best_cost = 1e30;
  for (int warps = 1; warps <= 8; ++warps) {
    const int64_t blocks = a.batch * a.heads * ceil_div(ceil_div(a.sq, 16), warps);
    const int64_t resident = std::max(1, 16 / warps);  // blocks that share a multiprocessor
    const auto rounds = static_cast<double>(ceil_div(blocks, multiprocessors * resident));
    // Of a round: the products of 16 resident warps, and the loads, that all warps of a block share.
    const double cost = rounds * (16.0 + 4.0 * static_cast<double>(resident));
    if (cost < best_cost * 0.999) best_cost = cost, best = warps;
  }
  return best;
}

cudaError_t make_maps(AttentionPlan& plan) {
  const AttentionArgs& a = plan.args;
  auto map = [&](int i, const void* data, int tokens, int64_t row, int box) {
    return make_tensor_map(&plan.maps[i], a.type, data, {int64_t{a.heads} * a.d, tokens, a.batch},
                           {row, row * tokens}, {64, box, 1});
  };
  cudaError_t e = map(0, a.q, a.sq, a.q_row, 64);
  if (e == cudaSuccess) e = map(1, a.k, a.sk, a.k_row, plan.keys);
  if (e == cudaSuccess) e = map(2, a.v, a.sk, a.v_row, plan.keys);
  if (e == cudaSuccess && type_size(a.out_type) == 2) e = map(3, a.out, a.sq, a.out_row, 64);
  return e;
}

}  // namespace

const char* AttentionPlan::name() const {
  constexpr const char* kNames[] = {"attention_hopper", "attention_hopper_split", "attention_shared_keys",
                                    "attention_split_keys", "attention_f32"};
  return kNames[kernel];
}

std::string refuse_attention(const AttentionArgs& a) {
  if (a.d > 128 || a.dv > 128) return "head wider than 128";
  const int unit = a.type == Type::kF32 ? 4 : 8;
  if (a.d % unit || a.dv % unit || a.q_row % unit || a.k_row % unit || a.v_row % unit || a.out_row % unit)
    return "heads or rows are not a multiple of 16 bytes";
  if (a.type != Type::kF32 && a.type != Type::kF16 && a.type != Type::kBF16) return "not a floating type";
  if (!(a.scale > 0)) return "scale is not positive";
  return "";
}

cudaError_t plan_attention(const AttentionArgs& a, int multiprocessors, bool hopper, AttentionPlan* plan) {
  if (!refuse_attention(a).empty()) return cudaErrorInvalidValue;
  AttentionPlan p;
  p.args = a;
  cudaError_t e = cudaSuccess;
  const bool small =
      a.batch * a.heads * ceil_div(a.sq, 64) < multiprocessors;  // too small to fill the machine
  if (a.type == Type::kF32) {
    p.kernel = AttentionPlan::kFloat;
  } else if (hopper && fits_hopper(a)) {
    const int64_t tiles = ceil_div(a.sq, 64);
    p.kernel = small ? AttentionPlan::kHopperSplit : AttentionPlan::kHopper;
    p.keys = choose_keys(a.sk);
    // Where two blocks hold all keys, one thread block may take all queries of a head and read the keys once.
    const bool all = a.sk <= 2 * p.keys && a.batch * a.heads >= 2 * multiprocessors;
    p.blocks = static_cast<int>(small ? tiles : all ? 1 : ceil_div(tiles, 2));
    e = make_maps(p);
  } else if (small) {
    p.kernel = AttentionPlan::kSplitKeys;
    p.warps = std::min(4, static_cast<int>(ceil_div(a.sk, 64)));
  } else {
    p.kernel = AttentionPlan::kSharedKeys;
    p.warps = choose_warps(a, multiprocessors);
  }
  if (e == cudaSuccess) *plan = p;
  return e;
}

cudaError_t launch_attention(const AttentionPlan& plan, cudaStream_t stream, bool dependent) {
  switch (plan.kernel) {
    case AttentionPlan::kHopper:
    case AttentionPlan::kHopperSplit:
      return detail::launch_attention_hopper(plan, stream, dependent);
    case AttentionPlan::kFloat:
      return detail::launch_attention_f32(plan.args, stream, dependent);
    default:
      return detail::launch_attention_half(plan, stream, dependent);
  }
}

}  // namespace vitrail::cuda
