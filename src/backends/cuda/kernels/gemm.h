// SPDX-License-Identifier: Apache-2.0
// Vitrail's own matrix products for Hopper (sm_90a).
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <string>
#include <vector>

#include "backends/cuda/kernels/types.h"

namespace vitrail::cuda {

// One way to compute a product. `columns`: width of the tile (128 rows high) of the ping-pong kernel; 0 for
// the split kernel, whose tile is 64 columns by `rows`, with K divided over `splits` blocks.
struct GemmConfig {
  int columns = 0;
  bool cluster = false;  // two neighbouring tiles share A by multicast
  int rows = 0;
  int splits = 1;

  bool operator==(const GemmConfig&) const = default;
  int stats_width() const {
    return columns == 96 ? 96 : kStatsColumns;
  }                          // columns of a group of GemmArgs::stats_out
  std::string name() const;  // "pingpong_128x192", "split_224x64k3", …
  static bool parse(const std::string& name, GemmConfig* config);
};

// A product with its tensor maps: bound to the pointers in `args`, which stay the caller's. Copyable.
struct GemmPlan {
  GemmConfig config;
  GemmArgs args;
  CUtensorMap maps[4];
  int blocks = 0, multiprocessors = 0;
};

// Why the kernels cannot compute this product; empty when some can.
std::string refuse_gemm(Type type, const GemmArgs& args);

// The configurations that can compute it, the likely best first (by waves of tiles and bytes moved). Needs no
// device.
std::vector<GemmConfig> gemm_candidates(Type type, const GemmArgs& args, int multiprocessors);

// cudaErrorInvalidValue when the configuration cannot compute the product.
cudaError_t plan_gemm(Type type, const GemmArgs& args, const GemmConfig& config, int multiprocessors,
                      GemmPlan* plan);

// `dependent`: may start before the kernel in front of it in the stream has ended (programmatic dependent
// launch).
cudaError_t launch_gemm(Type type, const GemmPlan& plan, cudaStream_t stream, bool dependent);

namespace detail {
template <class In, class Out>
cudaError_t launch_gemm_of(const GemmPlan& plan, cudaStream_t stream, bool dependent);
cudaError_t launch_gemm_f16(const GemmPlan&, cudaStream_t, bool dependent);
cudaError_t launch_gemm_bf16(const GemmPlan&, cudaStream_t, bool dependent);
cudaError_t launch_gemm_e4m3(const GemmPlan&, cudaStream_t, bool dependent);
cudaError_t launch_gemm_s8(const GemmPlan&, cudaStream_t, bool dependent);
}  // namespace detail

}  // namespace vitrail::cuda
