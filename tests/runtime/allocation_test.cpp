// SPDX-License-Identifier: Apache-2.0
// Counts what run() allocates.
#include <gtest/gtest.h>

#include <thread>

#include "fake.h"
#include "tools/count_allocations.h"

namespace vitrail {
namespace {

TEST(Allocation, RunAllocatesNothing) {
  auto session = Session::create(test::fake_engine(), std::make_shared<test::FakeProgram>(), {.streams = 2});
  ASSERT_TRUE(session.ok());
  const Tensor bias = Tensor::f32({1}, {1});
  std::vector<Tensor> x, sum, doubled;
  std::vector<std::vector<NamedView>> inputs;
  std::vector<std::vector<NamedMutableView>> outputs;
  for (int64_t n : {1, 16, 8}) {
    x.emplace_back(DType::kF32, Shape{n, 3});
    sum.emplace_back(DType::kF32, Shape{n});
    doubled.emplace_back(DType::kF32, Shape{n, 3});
    inputs.push_back({{"bias", bias.view()}, {"x", x.back().view()}});
    outputs.push_back({{"doubled", doubled.back().mutable_view()}, {"sum", sum.back().mutable_view()}});
  }
  const int64_t before = allocations;
  bool ok = true;
  for (int i = 0; i < 100; ++i)
    for (size_t k = 0; k < inputs.size(); ++k) ok = (*session)->run(inputs[k], outputs[k]).ok() && ok;
  EXPECT_EQ(allocations - before, 0);
  EXPECT_TRUE(ok);

  const Tensor another(DType::kF32, {1});
  EXPECT_GT(allocations - before, 0) << "the counter does not count";
}

}  // namespace
}  // namespace vitrail
