// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <array>

namespace vitrail::cuda {

struct LaunchShape {
  dim3 grid, block;
  size_t smem = 0;
  int cluster = 1;         // blocks along `cluster_axis` that form a cluster
  int cluster_axis = 0;
  bool dependent = false;  // programmatic dependent launch
};

// Launches with the attributes that the <<<>>> syntax cannot give.
template <class... Parameters, class... Args>
cudaError_t launch(void (*kernel)(Parameters...), const LaunchShape& shape, cudaStream_t stream, Args... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.smem;
  config.stream = stream;
  std::array<cudaLaunchAttribute, 2> attributes{};
  unsigned count = 0;
  if (shape.cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count].val.clusterDim.x = shape.cluster_axis == 0 ? shape.cluster : 1;
    attributes[count].val.clusterDim.y = shape.cluster_axis == 1 ? shape.cluster : 1;
    attributes[count].val.clusterDim.z = shape.cluster_axis == 2 ? shape.cluster : 1;
    ++count;
  }
  if (shape.dependent) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count].val.programmaticStreamSerializationAllowed = 1;
    ++count;
  }
  config.attrs = attributes.data();
  config.numAttrs = count;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(args)...);
}

}  // namespace vitrail::cuda
