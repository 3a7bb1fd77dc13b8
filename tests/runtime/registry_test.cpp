// SPDX-License-Identifier: Apache-2.0
#include "runtime/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace vitrail {
namespace {

using testing::HasSubstr;

struct FakeBackend : Backend {
  FakeBackend(std::string n, Status s) : name_(std::move(n)), status_(std::move(s)) {}
  std::string_view name() const override { return name_; }
  Status available() const override { return status_; }
  Result<std::vector<LayerReport>> compile(Graph&, const CompileOptions&) const override { return status_; }
  Result<std::shared_ptr<const Program>> load(std::shared_ptr<const Graph>,
                                              const LoadOptions&) const override {
    return status_;
  }
  std::string name_;
  Status status_;
};

TEST(Registry, FindsByNameAndExplainsWhatItCannot) {
  BackendRegistry registry;
  EXPECT_EQ(registry.find("cpu").status().code(), Code::kUsage);
  registry.add(std::make_unique<FakeBackend>("cuda", unavailable("no NVIDIA driver; install nvidia-driver")));
  registry.add(std::make_unique<FakeBackend>("cpu", Status()));

  auto cpu = registry.find("cpu");
  ASSERT_TRUE(cpu.ok());
  EXPECT_EQ((*cpu)->name(), "cpu");
  EXPECT_EQ(*cpu, registry.all()[1].get());

  const Status cuda = registry.find("cuda").status();
  EXPECT_EQ(cuda.code(), Code::kUnavailable);
  EXPECT_THAT(cuda.message(), HasSubstr("no NVIDIA driver; install nvidia-driver"));

  const Status gpu = registry.find("gpu").status();
  EXPECT_EQ(gpu.code(), Code::kUsage);
  EXPECT_THAT(gpu.message(), HasSubstr("'gpu'"));
  EXPECT_THAT(gpu.message(), HasSubstr("cuda, cpu"));
}

}  // namespace
}  // namespace vitrail
