// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>

#include "backends/cuda/device/gemm_split.cuh"
#include "backends/cuda/kernels/gemm.h"
#include "backends/cuda/kernels/launch.h"

namespace vitrail::cuda::detail {

template <class In, class Out, int kN, Epilogue kEpilogue, bool kBytes, bool kCluster>
cudaError_t launch_pingpong_of(const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  using S = PingpongShape<In, kN>;
  auto* kernel = gemm_pingpong<In, Out, kN, kEpilogue, kBytes, kCluster>;
  static const cudaError_t ready =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kSmem);
  if (ready != cudaSuccess) return ready;
  PingpongMaps maps;
  std::memcpy(&maps, plan.maps, sizeof(maps));
  const int tiles_m = static_cast<int>((plan.args.m + S::kM - 1) / S::kM);
  const int tiles_n = static_cast<int>((plan.args.n + kN - 1) / kN);
  LaunchShape shape{dim3(plan.blocks), dim3(S::kThreads), S::kSmem, dim3(kCluster ? 2 : 1), dependent};
  return launch(kernel, shape, stream, maps, plan.args, tiles_m, tiles_n);
}

template <class In, class Out, int kN, Epilogue kEpilogue, bool kBytes = false>
cudaError_t launch_pingpong_of(const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  if constexpr (kN % 64 == 0)
    if (plan.config.cluster) return launch_pingpong_of<In, Out, kN, kEpilogue, kBytes, true>(plan, stream, dependent);
  return launch_pingpong_of<In, Out, kN, kEpilogue, kBytes, false>(plan, stream, dependent);
}

template <class In, class Out, int kN>
cudaError_t launch_pingpong(const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  const GemmArgs& g = plan.args;
  if constexpr (sizeof(In) == 1 && kN % 64 == 0)
    if (!g.d)
      return g.activation == Activation::kGelu
                 ? launch_pingpong_of<In, Out, kN, Epilogue::kGelu, true>(plan, stream, dependent)
                 : launch_pingpong_of<In, Out, kN, Epilogue::kPlain, true>(plan, stream, dependent);
  if (g.activation == Activation::kGelu)
    return launch_pingpong_of<In, Out, kN, Epilogue::kGelu>(plan, stream, dependent);
  if (!g.residual) return launch_pingpong_of<In, Out, kN, Epilogue::kPlain>(plan, stream, dependent);
  return g.residual_rows == g.m ? launch_pingpong_of<In, Out, kN, Epilogue::kResidual>(plan, stream, dependent)
                                : launch_pingpong_of<In, Out, kN, Epilogue::kTable>(plan, stream, dependent);
}

template <class In, class Out, int kRows, Epilogue kEpilogue>
cudaError_t launch_split_of(const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  using S = SplitShape<In, kRows>;
  auto* kernel = gemm_split<In, Out, kRows, kEpilogue>;
  const int splits = plan.config.splits;
  const int all_steps = static_cast<int>((plan.args.k + S::kK - 1) / S::kK);
  const int steps = (all_steps + splits - 1) / splits;
  // More than half of a multiprocessor's shared memory where each block can have one of its own: a block that moved in
  // early with its kernel would otherwise share one with another of them while others idle.
  constexpr int kHalf = 113 * 1024;
  int stages = std::min(steps, S::kMaxStages);
  while (stages > 2 && S::smem(stages, splits) > kHalf) --stages;
  int smem = S::smem(stages, splits);
  if (plan.blocks <= plan.multiprocessors) smem = std::max(smem, kHalf + 4096);
  static const cudaError_t ready =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 2 * kHalf);
  if (ready != cudaSuccess) return ready;
  SplitMaps maps;
  std::memcpy(&maps, plan.maps, sizeof(maps));
  LaunchShape shape{dim3(static_cast<unsigned>((plan.args.n + S::kFeatures - 1) / S::kFeatures),
                         static_cast<unsigned>((plan.args.m + kRows - 1) / kRows), static_cast<unsigned>(splits)),
                    dim3(S::kThreads), static_cast<size_t>(smem), dim3(1, 1, static_cast<unsigned>(splits)), dependent};
  return launch(kernel, shape, stream, maps, plan.args, stages, steps);
}

template <class In, class Out, int kRows>
cudaError_t launch_split(const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  const GemmArgs& g = plan.args;
  const bool whole = g.n % 64 == 0 && g.out != Type::kF32;  // tiles
  if (whole && !g.residual && !g.stats_out && g.activation == Activation::kGelu)
    return launch_split_of<In, Out, kRows, Epilogue::kGelu>(plan, stream, dependent);
  if (whole && g.residual && g.residual_rows == g.m && g.activation == Activation::kNone)
    return launch_split_of<In, Out, kRows, Epilogue::kResidual>(plan, stream, dependent);
  if (whole && !g.residual && !g.stats_out && g.activation == Activation::kNone)
    return launch_split_of<In, Out, kRows, Epilogue::kPlain>(plan, stream, dependent);
  return launch_split_of<In, Out, kRows, Epilogue::kTable>(plan, stream, dependent);
}

template <class In, class Out>
cudaError_t launch_gemm_of(const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  const GemmConfig& c = plan.config;
  if (c.columns == 192) return launch_pingpong<In, Out, 192>(plan, stream, dependent);
  if (c.columns == 160) return launch_pingpong<In, Out, 160>(plan, stream, dependent);
  if (c.columns == 96) return launch_pingpong<In, Out, 96>(plan, stream, dependent);
  if (c.columns == 128) return launch_pingpong<In, Out, 128>(plan, stream, dependent);
  if (c.rows == 32) return launch_split<In, Out, 32>(plan, stream, dependent);
  if (c.rows == 64) return launch_split<In, Out, 64>(plan, stream, dependent);
  if (c.rows == 128) return launch_split<In, Out, 128>(plan, stream, dependent);
  if constexpr (std::is_same_v<In, int8_t>) {
    if (c.rows == 96) return launch_split<In, Out, 96>(plan, stream, dependent);
  } else {
    if (c.rows == 80) return launch_split<In, Out, 80>(plan, stream, dependent);
    if (c.rows == 112) return launch_split<In, Out, 112>(plan, stream, dependent);
  }
  return cudaErrorInvalidValue;
}

}  // namespace vitrail::cuda::detail
