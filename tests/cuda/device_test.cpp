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

TEST(Device, TheDriversVersionIsReadFromItsText) {
  EXPECT_EQ(driver_version("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.04  Tue Mar 10 2026\n"
                           "GCC version:  gcc version 12.2.0 (Debian)\n"),
            "580.159.04");
  EXPECT_EQ(
      driver_version("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57.08  Release Build"),
      "575.57.08");
  EXPECT_EQ(driver_version(""), "");
  EXPECT_EQ(version_text(13010), "13.1");
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
