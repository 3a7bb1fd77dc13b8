// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>

#include "backends/cuda/device/gemm_split.cuh"
#include "backends/cuda/kernels/gemm.h"
#include "backends/cuda/kernels/launch.h"

namespace vitrail::cuda::detail {

template <class In, class Out, int kN, bool kCluster>
cudaError_t launch_pingpong(const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  using S = PingpongShape<In, kN, kCluster>;
  auto* kernel = gemm_pingpong<In, Out, kN, kCluster>;
  static const cudaError_t ready =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kSmem);
  if (ready != cudaSuccess) return ready;
  PingpongMaps maps;
  std::memcpy(&maps, plan.maps, sizeof(maps));
  const int tiles_m = static_cast<int>((plan.args.m + S::kM - 1) / S::kM);
  const int tiles_n = static_cast<int>((plan.args.n + kN - 1) / kN);
  LaunchShape shape{dim3(plan.blocks), dim3(S::kThreads), S::kSmem, kCluster ? 2 : 1, 0, dependent};
  return launch(kernel, shape, stream, maps, plan.args, tiles_m, tiles_n);
}

template <class In, class Out, int kRows>
cudaError_t launch_split(const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  using S = SplitShape<In, kRows>;
  auto* kernel = gemm_split<In, Out, kRows>;
  const int all_steps = static_cast<int>((plan.args.k + S::kK - 1) / S::kK);
  const int steps = (all_steps + plan.config.splits - 1) / plan.config.splits;
  // Two blocks a multiprocessor where that leaves three stages: the next kernel then moves in while this one ends.
  int stages = std::min(steps, S::kMaxStages);
  while (stages > 3 && S::smem(stages) > 113 * 1024) --stages;
  while (stages > 1 && S::smem(stages) > 227 * 1024) --stages;
  static const cudaError_t ready =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 226 * 1024);
  if (ready != cudaSuccess) return ready;
  SplitMaps maps;
  std::memcpy(&maps, plan.maps, sizeof(maps));
  LaunchShape shape{dim3(static_cast<unsigned>((plan.args.n + S::kFeatures - 1) / S::kFeatures),
                         static_cast<unsigned>((plan.args.m + kRows - 1) / kRows), plan.config.splits),
                    dim3(S::kThreads), static_cast<size_t>(S::smem(stages)), plan.config.splits, 2, dependent};
  return launch(kernel, shape, stream, maps, plan.args, stages, steps);
}

template <class In, class Out>
cudaError_t launch_gemm_of(const GemmPlan& plan, cudaStream_t stream, bool dependent) {
  const GemmConfig& c = plan.config;
  if (c.columns == 192)
    return c.cluster ? launch_pingpong<In, Out, 192, true>(plan, stream, dependent)
                     : launch_pingpong<In, Out, 192, false>(plan, stream, dependent);
  if (c.columns == 128)
    return c.cluster ? launch_pingpong<In, Out, 128, true>(plan, stream, dependent)
                     : launch_pingpong<In, Out, 128, false>(plan, stream, dependent);
  switch (c.rows) {
    case 16:
      return launch_split<In, Out, 16>(plan, stream, dependent);
    case 64:
      return launch_split<In, Out, 64>(plan, stream, dependent);
    case 112:
      return launch_split<In, Out, 112>(plan, stream, dependent);
    case 144:
      return launch_split<In, Out, 144>(plan, stream, dependent);
    case 208:
      return launch_split<In, Out, 208>(plan, stream, dependent);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace vitrail::cuda::detail
