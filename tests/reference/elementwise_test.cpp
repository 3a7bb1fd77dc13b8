// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "call.h"
#include "core/half.h"

namespace vitrail {
namespace {

const float kInf = INFINITY;

Tensor f32(const std::vector<float>& v) { return Tensor::f32({static_cast<int64_t>(v.size())}, v); }

TEST(Elementwise, FunctionsOfOneNumber) {
  const Tensor x = f32({-2, -0.5f, 0, 0.5f, 2.5f});
  expect_f32(run(Op::Relu, {x}), {5}, {0, 0, 0, 0.5f, 2.5f});
  expect_f32(run(Op::Round, {x}), {5}, {-2, 0, 0, 0, 2});
  expect_f32(run(Op::Sign, {x}), {5}, {-1, -1, 0, 1, 1});
  expect_f32(run(Op::LeakyRelu, {x}, {{"alpha", 0.1f}}), {5}, {-0.2f, -0.05f, 0, 0.5f, 2.5f});
  expect_f32(run(Op::HardSigmoid, {x}), {5}, {0.1f, 0.4f, 0.5f, 0.6f, 1});
  expect_f32(run(Op::Softplus, {f32({-200, 0, 200})}), {3}, {0, std::log(2.0f), 200});
  expect_f32(run(Op::Sigmoid, {f32({-1000, 0, 1000})}), {3}, {0, 0.5f, 1});
}

// Reference values of the three GELUs from PyTorch in float64.
TEST(Elementwise, GeluHasThreeForms) {
  const Tensor x = f32({-3, -1, 0.5f, 2});
  expect_f32(run(Op::Gelu, {x}), {4}, {-0.00404969409f, -0.158655254f, 0.345731231f, 1.95449974f});
  expect_f32(run(Op::Gelu, {x}, {{"approximate", std::string("tanh")}}), {4},
             {-0.00363739208f, -0.158808009f, 0.345714010f, 1.95459769f});
  expect_f32(run(Op::Gelu, {x}, {{"approximate", std::string("quick")}}), {4},
             {-0.0180713097f, -0.154204234f, 0.350388436f, 1.93565862f});
  EXPECT_THAT(failure(Op::Gelu, {x}, {{"approximate", std::string("fast")}}), testing::HasSubstr("fast"));
}

TEST(Elementwise, BroadcastsBothSides) {
  const Tensor column = Tensor::f32({2, 1}, {1, 2}), row = Tensor::f32({3}, {10, 20, 30});
  expect_f32(run(Op::Add, {column, row}), {2, 3}, {11, 21, 31, 12, 22, 32});
  expect_f32(run(Op::Sub, {row, column}), {2, 3}, {9, 19, 29, 8, 18, 28});
  expect_f32(run(Op::Mul, {column, Tensor::f32({}, {3})}), {2, 1}, {3, 6});
  expect_f32(run(Op::Max, {column, row, Tensor::f32({1, 1, 1}, {15})}), {1, 2, 3}, {15, 20, 30, 15, 20, 30});
  expect_f32(run(Op::Add, {Tensor::f32({0, 3}, {}), row}), {0, 3}, {});
  failure(Op::Add, {row, Tensor::f32({2}, {1, 2})});
}

TEST(Elementwise, NanWinsInMaxAndMin) {
  expect_f32(run(Op::Max, {f32({NAN, 1, 2}), f32({1, NAN, 1})}), {3}, {NAN, NAN, 2});
  expect_f32(run(Op::Min, {f32({NAN, 1, 2}), f32({1, NAN, 1})}), {3}, {NAN, NAN, 1});
  expect_f32(run(Op::Relu, {f32({NAN})}), {1}, {NAN});
}

TEST(Elementwise, IntegersWrapAndNeverTrap) {
  const int64_t least = INT64_MIN;
  expect_i64(run(Op::Add, {vec({INT64_MAX}), vec({1})}), {1}, {least});
  expect_i64(run(Op::Neg, {vec({least})}), {1}, {least});
  expect_i64(run(Op::Abs, {vec({least, -5})}), {2}, {least, 5});
  expect_i64(run(Op::Div, {vec({least, 7, -7, 7}), vec({-1, 2, 2, -2})}), {4}, {least, 3, -3, -3});
  expect_i64(run(Op::Mod, {vec({least, 7, -7, 7}), vec({-1, 3, 3, -3})}), {4}, {0, 1, 2, -2});
  expect_i64(run(Op::Mod, {vec({-7}), vec({3})}, {{"fmod", int64_t{1}}}), {1}, {-1});
  expect_i64(run(Op::Pow, {vec({3, -2}), vec({4, 3})}), {2}, {81, -8});
  EXPECT_THAT(failure(Op::Div, {vec({1}), vec({0})}), testing::HasSubstr("division by zero"));
  EXPECT_THAT(failure(Op::Mod, {vec({1}), vec({0})}), testing::HasSubstr("division by zero"));
}

TEST(Elementwise, PowTakesTheTypeOfTheBase) {
  expect_f32(run(Op::Pow, {f32({2, 9}), vec({3, -1})}), {2}, {8, 1.0f / 9});
  expect_i64(run(Op::Pow, {vec({4, 9}), f32({0.5f, 1.5f})}), {2}, {2, 27});
}

TEST(Elementwise, ComparisonsAndLogic) {
  const auto values = [](const Tensor& t) {
    return std::vector<uint8_t>(t.as<uint8_t>().begin(), t.as<uint8_t>().end());
  };
  EXPECT_EQ(values(run(Op::Less, {vec({1, 2, 3}), vec({2})})), (std::vector<uint8_t>{1, 0, 0}));
  EXPECT_EQ(values(run(Op::GreaterOrEqual, {f32({NAN, 2}), f32({1, 2})})), (std::vector<uint8_t>{0, 1}));
  EXPECT_EQ(values(run(Op::And, {bools({2}, {1, 1}), bools({2}, {1, 0})})), (std::vector<uint8_t>{1, 0}));
  // A byte of a file may be neither 0 nor 1.
  EXPECT_EQ(values(run(Op::Equal, {bools({2}, {7, 0}), bools({2}, {1, 1})})), (std::vector<uint8_t>{1, 0}));
  EXPECT_EQ(values(run(Op::Not, {bools({2}, {7, 0})})), (std::vector<uint8_t>{0, 1}));
  expect_i64(run(Op::Where, {bools({2, 1}, {1, 0}), vec({1, 2}), vec({9})}), {2, 2}, {1, 2, 9, 9});
  failure(Op::Equal, {vec({1}), f32({1})});
  failure(Op::Where, {vec({1}), f32({1}), f32({1})});
}

TEST(Elementwise, ClipTakesBoundsOneByOne) {
  const Tensor x = f32({-5, 0, 5}), low = Tensor::f32({}, {-1}), high = Tensor::f32({}, {1});
  expect_f32(run(Op::Clip, {x, low, high}), {3}, {-1, 0, 1});
  expect_f32(run(Op::Clip, {x, Tensor(), high}), {3}, {-5, 0, 1});
  expect_f32(run(Op::Clip, {x}), {3}, {-5, 0, 5});
  failure(Op::Clip, {x, Tensor::f32({2}, {1, 2})});
}

TEST(Elementwise, CastsBetweenAllTypes) {
  const auto to = [](DType dtype, const Tensor& x) { return run(Op::CastLike, {x, Tensor(dtype, {})}); };
  const Tensor x = f32({-3.7f, 0, 3.7f, 1e30f, NAN, kInf});
  expect_i64(to(DType::kI64, x), {6}, {-3, 0, 3, INT64_MAX, 0, INT64_MAX});
  EXPECT_EQ(to(DType::kU8, x).as<uint8_t>()[3], 255);
  EXPECT_EQ(to(DType::kU8, vec({257})).as<uint8_t>()[0], 1);
  EXPECT_EQ(to(DType::kBool, x).as<uint8_t>()[0], 1);
  expect_f32(to(DType::kF32, bools({2}, {2, 0})), {2}, {1, 0});
  expect_f32(run(Op::Cast, {vec({5})}, {{"to", int64_t{1}}}), {1}, {5});
  failure(Op::Cast, {x}, {{"to", int64_t{8}}});  // string
  for (DType d : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI8, DType::kU8, DType::kI16,
                  DType::kU16, DType::kI32, DType::kU32, DType::kI64, DType::kU64})
    expect_f32(to(DType::kF32, to(d, f32({0, 1, 100}))), {3}, {0, 1, 100});
  // 1 + 2^-11 + 2^-40 lies above the middle of two halves; rounding to float first would land in the middle.
  const Tensor fine = Tensor::from<double>(DType::kF64, {1}, std::vector<double>{1 + 0x1p-11 + 0x1p-40});
  EXPECT_EQ(to(DType::kF16, fine).as<uint16_t>()[0], 0x3C01);
}

TEST(Elementwise, SixteenBitFloatsGoThroughFloat) {
  const Tensor a = run(Op::CastLike, {f32({1.5f, -2}), Tensor(DType::kF16, {})});
  const Tensor sum = run(Op::Add, {a, a});
  ASSERT_EQ(sum.dtype(), DType::kF16);
  EXPECT_EQ(half_to_float(sum.as<uint16_t>()[0]), 3.0f);
  EXPECT_EQ(run(Op::Less, {a, a}).dtype(), DType::kBool);
  const Tensor b = run(Op::CastLike, {f32({2}), Tensor(DType::kBF16, {})});
  EXPECT_EQ(run(Op::Sqrt, {b}).dtype(), DType::kBF16);
}

TEST(Elementwise, ReadsNumbersAtAnyAddress) {
  std::vector<char> bytes(13);
  const float values[] = {1, 2, 3};
  std::memcpy(bytes.data() + 1, values, sizeof values);
  const Tensor x(DType::kF32, {3}, bytes.data() + 1, nullptr);
  expect_f32(run(Op::Neg, {x}), {3}, {-1, -2, -3});
}

TEST(Elementwise, ArityAndTypesAreChecked) {
  EXPECT_THAT(failure(Op::Add, {vec({1})}), testing::HasSubstr("1 inputs"));
  EXPECT_THAT(failure(Op::Add, {vec({1}), Tensor()}), testing::HasSubstr("absent"));
  EXPECT_THAT(failure(Op::Exp, {vec({1})}), testing::HasSubstr("int64"));
  failure(Op::Not, {vec({1})});
  failure(Op::Add, {vec({1}), f32({1})});
}

}  // namespace
}  // namespace vitrail
