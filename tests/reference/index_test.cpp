// SPDX-License-Identifier: Apache-2.0
// What ONNX's own node tests leave out: bad indices, ties, NaN, 16-bit floats.
#include "call.h"
#include "core/half.h"

namespace vitrail {
namespace {

const float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(Index, GatherNDWithSharedAxes) {
  const Tensor x = Tensor::f32({2, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7});
  const Attributes shared{{"batch_dims", int64_t{1}}};
  expect_f32(run(Op::GatherND, {x, Tensor::i64({2, 1}, {1, -2})}, shared), {2, 2}, {2, 3, 4, 5});
  EXPECT_THAT(failure(Op::GatherND, {x, Tensor::i64({2, 1}, {1, 2})}, shared), testing::HasSubstr("index 2"));
  failure(Op::GatherND, {x, Tensor::i64({1, 4}, {0, 0, 0, 0})});
  failure(Op::GatherND, {x, Tensor::i64({3, 1}, {0, 0, 0})}, shared);
}

TEST(Index, GatherElementsTakesFewerRows) {
  const Tensor x = Tensor::f32({2, 3}, {0, 1, 2, 3, 4, 5});
  expect_f32(run(Op::GatherElements, {x, Tensor::i64({1, 2}, {-1, 0})}, {{"axis", int64_t{1}}}), {1, 2},
             {2, 0});
  failure(Op::GatherElements, {x, Tensor::i64({1, 1}, {2})});
  failure(Op::GatherElements, {x, Tensor::i64({3, 1}, {0, 0, 0})}, {{"axis", int64_t{1}}});
  failure(Op::GatherElements, {x, Tensor::i64({1}, {0})});
}

TEST(Index, ScatterWritesInOrderAndReduces) {
  const Tensor x = Tensor::f32({3}, {1, 2, 3}), at = Tensor::i64({2, 1}, {1, 1}),
               y = Tensor::f32({2}, {10, 20});
  expect_f32(run(Op::ScatterND, {x, at, y}), {3}, {1, 20, 3});
  expect_f32(run(Op::ScatterND, {x, at, y}, {{"reduction", std::string("add")}}), {3}, {1, 32, 3});
  expect_f32(run(Op::ScatterElements, {x, Tensor::i64({2}, {-1, 0}), y}, {{"reduction", std::string("max")}}),
             {3}, {20, 2, 10});
  failure(Op::ScatterND, {x, Tensor::i64({2, 1}, {1, 3}), y});
  failure(Op::ScatterND, {x, at, Tensor::f32({3}, {1, 2, 3})});
  failure(Op::ScatterND, {x, at, Tensor::i64({2}, {1, 2})});
  failure(Op::ScatterND, {x, at, y}, {{"reduction", std::string("xor")}});
}

TEST(Index, TopKKeepsTheOrderOfEqualOnesAndPutsNaNFirst) {
  const auto top = evaluate(Op::TopK, {Tensor::f32({5}, {2, kNaN, 7, 7, -1}), vec({3})}, {}, 2);
  ASSERT_TRUE(top.ok()) << top.status().message();
  expect_f32((*top)[0], {3}, {kNaN, 7, 7});
  expect_i64((*top)[1], {3}, {1, 2, 3});
  const auto least =
      evaluate(Op::TopK, {Tensor::f32({5}, {2, kNaN, 7, 7, -1}), vec({5})}, {{"largest", int64_t{0}}}, 2);
  ASSERT_TRUE(least.ok()) << least.status().message();
  expect_i64((*least)[1], {5}, {4, 0, 2, 3, 1});
  failure(Op::TopK, {Tensor::f32({2}, {1, 2}), vec({3})});
  failure(Op::TopK, {Tensor::f32({2}, {1, 2}), vec({-1})});
}

TEST(Index, TriluOfAnyDiagonal) {
  const Tensor x = Tensor::f32({1, 2, 3}, {1, 2, kNaN, 4, 5, 6});
  const Attributes lower{{"upper", int64_t{0}}};
  const int64_t far = std::numeric_limits<int64_t>::max();
  expect_f32(run(Op::Trilu, {x}), {1, 2, 3}, {1, 2, kNaN, 0, 5, 6});
  expect_f32(run(Op::Trilu, {x}, lower), {1, 2, 3}, {1, 0, 0, 4, 5, 0});
  expect_f32(run(Op::Trilu, {x, vec({-1})}, lower), {1, 2, 3}, {0, 0, 0, 4, 0, 0});
  expect_f32(run(Op::Trilu, {x, vec({far})}), {1, 2, 3}, {0, 0, 0, 0, 0, 0});
  expect_f32(run(Op::Trilu, {x, vec({-far})}), {1, 2, 3}, {1, 2, kNaN, 4, 5, 6});
  failure(Op::Trilu, {x, vec({1, 2})});
  failure(Op::Trilu, {Tensor::f32({2}, {1, 2})});
}

TEST(Index, IsNaNOfHalves) {
  const uint16_t halves[] = {float_to_half(1.0f), 0x7e00, 0x7c00};
  const Tensor y =
      run(Op::IsNaN, {Tensor::from<uint16_t>(DType::kF16, {3}, std::span<const uint16_t>(halves))});
  ASSERT_EQ(y.dtype(), DType::kBool);
  EXPECT_THAT(y.as<uint8_t>(), testing::ElementsAre(0, 1, 0));
}

}  // namespace
}  // namespace vitrail
