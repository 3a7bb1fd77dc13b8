// SPDX-License-Identifier: Apache-2.0
// Fused attention: softmax(scale·q·kᵀ [+ mask])·v without an S×S buffer in device memory (Milakov & Gimelshein 2018;
// Dao 2023, FlashAttention-2).
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "backends/cuda/kernels/types.h"

namespace vitrail::cuda {

// Why no kernel computes this; empty when one does.
std::string refuse_attention(const AttentionArgs& args);

// Attention bound to the pointers in `args`, which stay the caller's. Copyable.
struct AttentionPlan {
  AttentionArgs args;
  int multiprocessors = 0;
};
cudaError_t plan_attention(const AttentionArgs& args, int multiprocessors, AttentionPlan* plan);
cudaError_t launch_attention(const AttentionPlan& plan, cudaStream_t stream, bool dependent);

namespace detail {
// warps > 0: that many share a block's keys, 16 queries each; < 0: that many share 16 queries and split the keys.
cudaError_t launch_attention_half(const AttentionArgs&, int warps, cudaStream_t, bool dependent);
cudaError_t launch_attention_f32(const AttentionArgs&, cudaStream_t, bool dependent);
}  // namespace detail

}  // namespace vitrail::cuda
