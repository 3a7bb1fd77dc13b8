// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cuda/backend.h"
#include "runtime/registry.h"

namespace vitrail::cuda {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(Device, ErrorsSayWhatToDo) {
  EXPECT_TRUE(cuda_status(cudaSuccess, "x").ok());
  const Status memory = cuda_status(cudaErrorMemoryAllocation, "layer 'x'");
  EXPECT_EQ(memory.code(), Code::kResource);
  EXPECT_THAT(memory.message(), HasSubstr("layer 'x'"));
  const Status none = cuda_status(cudaErrorNoDevice, "CUDA");
  EXPECT_EQ(none.code(), Code::kUnavailable);
  EXPECT_THAT(none.message(), HasSubstr("no NVIDIA device"));
  EXPECT_THAT(cuda_status(cudaErrorInsufficientDriver, "CUDA").message(), HasSubstr("no NVIDIA driver"));
  const Status lost = cuda_status(cudaErrorIllegalAddress, "layer 'x'");
  EXPECT_EQ(lost.code(), Code::kInternal);
  EXPECT_THAT(lost.message(), HasSubstr("the CUDA context is lost; load the engine again"));
}

TEST(Device, TheBackendIsUnavailableWithoutOne) {
  const auto backend = make_cuda_backend();
  EXPECT_EQ(backend->name(), "cuda");
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) GTEST_SKIP() << "there is a device";
  BackendRegistry registry;
  registry.add(make_cuda_backend());
  const Status status = registry.find("cuda").status();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), StartsWith("backend 'cuda' is not available here: CUDA: no NVIDIA d"));
  Graph graph;
  EXPECT_EQ(backend->compile(graph, {}).status().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace vitrail::cuda
