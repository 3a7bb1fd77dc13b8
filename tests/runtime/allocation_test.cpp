// SPDX-License-Identifier: Apache-2.0
// Counts what run() allocates, by replacing the global operator new of this program.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <thread>

#include "fake.h"

namespace {

std::atomic<int64_t> allocations{0};

}  // namespace

// Not inlined: the compiler would warn of free() on what operator new returned.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* p = std::malloc(size ? size : 1)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t alignment) {
  ++allocations;
  const auto a = static_cast<size_t>(alignment);
  if (void* p = std::aligned_alloc(a, (size + a - 1) / a * a)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size ? size : 1);
}
[[gnu::noinline]] void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }

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
