// SPDX-License-Identifier: Apache-2.0
#include "call.h"

namespace vitrail {
namespace {

const Attributes kDrop{{"keepdims", int64_t{0}}};

TEST(Reduce, OverAnyAxes) {
  const Tensor x = Tensor::f32({2, 3}, {1, 2, 3, 4, 5, 6});
  expect_f32(run(Op::ReduceSum, {x, vec({1})}), {2, 1}, {6, 15});
  expect_f32(run(Op::ReduceMean, {x, vec({-2})}, kDrop), {3}, {2.5f, 3.5f, 4.5f});
  expect_f32(run(Op::ReduceMax, {x}, kDrop), {}, {6});
  expect_f32(run(Op::ReduceMin, {x, vec({0, 1})}), {1, 1}, {1});
  expect_f32(run(Op::ReduceProd, {x, vec({1})}, kDrop), {2}, {6, 120});
  expect_f32(run(Op::ReduceL2, {x, vec({0})}, kDrop), {3},
             {std::sqrt(17.0f), std::sqrt(29.0f), std::sqrt(45.0f)});
  expect_f32(run(Op::ReduceSumSquare, {x, vec({1})}, kDrop), {2}, {14, 77});
  failure(Op::ReduceSum, {x, vec({2})});
  failure(Op::ReduceSum, {x, vec({1, -1})});
}

TEST(Reduce, EmptyAxesMeanAllOrNothing) {
  const Tensor x = Tensor::f32({2}, {1, 2});
  expect_f32(run(Op::ReduceSum, {x, vec({})}), {1}, {3});
  expect_f32(run(Op::ReduceSum, {x, vec({})}, {{"noop_with_empty_axes", int64_t{1}}}), {2}, {1, 2});
}

TEST(Reduce, NothingHasNeutralElements) {
  const Tensor x = Tensor::f32({0, 2}, {});
  expect_f32(run(Op::ReduceSum, {x, vec({0})}, kDrop), {2}, {0, 0});
  expect_f32(run(Op::ReduceProd, {x, vec({0})}, kDrop), {2}, {1, 1});
  expect_f32(run(Op::ReduceMax, {x, vec({0})}, kDrop), {2}, {-INFINITY, -INFINITY});
  failure(Op::ReduceMean, {Tensor(DType::kI64, {0})});
}

// 2^24 + 1 ones: a float accumulator stops at 2^24.
TEST(Reduce, AccumulatesInDouble) {
  Tensor x(DType::kF32, {(1 << 24) + 2});
  for (float& v : x.as_mutable<float>()) v = 1;
  EXPECT_EQ(run(Op::ReduceSum, {x}).as<float>()[0], 16777218.0f);
  EXPECT_EQ(run(Op::ReduceMean, {x}).as<float>()[0], 1.0f);
}

TEST(Reduce, NanIsNotLost) {
  const Tensor x = Tensor::f32({3}, {1, NAN, 2});
  expect_f32(run(Op::ReduceMax, {x}), {1}, {NAN});
  expect_f32(run(Op::ReduceMin, {x}), {1}, {NAN});
}

TEST(Reduce, ArgMaxTakesFirstOrLast) {
  const Tensor x = Tensor::f32({2, 3}, {1, 5, 5, 7, 0, 7});
  expect_i64(run(Op::ArgMax, {x}, {{"axis", int64_t{1}}}), {2, 1}, {1, 0});
  expect_i64(run(Op::ArgMax, {x},
                 {{"axis", int64_t{-1}}, {"keepdims", int64_t{0}}, {"select_last_index", int64_t{1}}}),
             {2}, {2, 2});
  expect_i64(run(Op::ArgMax, {x}, kDrop), {3}, {1, 0, 1});
  failure(Op::ArgMax, {Tensor::f32({0}, {})});
}

}  // namespace
}  // namespace vitrail
