// SPDX-License-Identifier: Apache-2.0
// Fused attention: softmax(scale·q·kᵀ [+ mask])·v without an S×S buffer in device memory (Milakov &
// Gimelshein 2018; Dao 2023, FlashAttention-2).
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <string>

#include "backends/cuda/kernels/types.h"

namespace vitrail::cuda {

// An attention bound to the pointers in `args`, which stay the caller's. Copyable.
struct AttentionPlan {
  enum Kernel { kHopper, kHopperSplit, kSharedKeys, kSplitKeys, kFloat } kernel = kFloat;
  AttentionArgs args;
  CUtensorMap maps[4];  // q, k, v, out of the Hopper kernels
  int keys = 0;         // of a block, there
  int blocks = 1;       // for a head, there
  int warps = 1;        // of a block, elsewhere

  const char* name() const;
};

// Why no kernel computes this; empty when one does.
std::string refuse_attention(const AttentionArgs& args);

// Chooses the kernel. `hopper`: the device has compute capability 9.0. cudaErrorInvalidValue when refused.
cudaError_t plan_attention(const AttentionArgs& args, int multiprocessors, bool hopper, AttentionPlan* plan);

// `dependent`: may start before the kernel in front of it in the stream has ended (programmatic dependent
// launch).
cudaError_t launch_attention(const AttentionPlan& plan, cudaStream_t stream, bool dependent);

namespace detail {
cudaError_t launch_attention_hopper(const AttentionPlan&, cudaStream_t, bool dependent);
cudaError_t launch_attention_half(const AttentionPlan&, cudaStream_t, bool dependent);
cudaError_t launch_attention_f32(const AttentionArgs&, cudaStream_t, bool dependent);
}  // namespace detail

}  // namespace vitrail::cuda
