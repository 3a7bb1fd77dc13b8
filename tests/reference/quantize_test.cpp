// SPDX-License-Identifier: Apache-2.0
// QuantizeLinear, DequantizeLinear and QuantizedLinear. ONNX's node tests cover the first two; here is what
// they leave out.
#include "call.h"

namespace vitrail {
namespace {

template <class T>
Tensor of(DType dtype, Shape shape, const std::vector<T>& v) {
  return Tensor::from<T>(dtype, std::move(shape), v);
}
Tensor i8(Shape shape, const std::vector<int8_t>& v) { return of(DType::kI8, std::move(shape), v); }
Tensor u8(Shape shape, const std::vector<uint8_t>& v) { return of(DType::kU8, std::move(shape), v); }
Tensor scalar(float v) { return Tensor::f32({}, {v}); }

template <class T>
std::vector<T> content(const Tensor& t) {
  const auto v = t.as<T>();
  return {v.begin(), v.end()};
}

TEST(QuantizeLinear, TiesToEvenAndSaturates) {
  const Tensor x = Tensor::f32({9}, {0.5f, 1.5f, -0.5f, -1.5f, 2.4f, 126.5f, 1e30f, -1e30f, INFINITY});
  const Tensor y = run(Op::QuantizeLinear, {x, scalar(1), i8({}, {1})});
  EXPECT_EQ(content<int8_t>(y), (std::vector<int8_t>{1, 3, 1, -1, 3, 127, 127, -128, 127}));
  const Tensor z = run(Op::QuantizeLinear, {x, scalar(1)});  // uint8 without a zero point
  EXPECT_EQ(content<uint8_t>(z), (std::vector<uint8_t>{0, 2, 0, 0, 2, 126, 255, 0, 255}));
}

TEST(QuantizeLinear, DividesInFloat32) {
  // 0.15 / 0.1 is a little above 1.5 as real numbers of these floats and a tie in float32.
  const Tensor y = run(Op::QuantizeLinear, {Tensor::f32({1}, {0.25f}), scalar(0.1f), u8({}, {0})});
  EXPECT_EQ(content<uint8_t>(y)[0], static_cast<uint8_t>(std::nearbyint(0.25f / 0.1f)));
}

TEST(QuantizeLinear, AxisAndBlocks) {
  const Tensor x = Tensor::f32({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor columns = run(Op::QuantizeLinear, {x, Tensor::f32({3}, {1, 2, 3}), u8({3}, {0, 10, 20})});
  EXPECT_EQ(content<uint8_t>(columns), (std::vector<uint8_t>{1, 11, 21, 4, 12, 22}));
  const Tensor rows = run(Op::QuantizeLinear, {x, Tensor::f32({2}, {1, 0.5f})}, {{"axis", int64_t{-2}}});
  EXPECT_EQ(content<uint8_t>(rows), (std::vector<uint8_t>{1, 2, 3, 8, 10, 12}));
  const Tensor blocks = run(Op::QuantizeLinear, {x, Tensor::f32({2, 2}, {1, 0.5f, 2, 0.25f})},
                            {{"axis", int64_t{1}}, {"block_size", int64_t{2}}});
  EXPECT_EQ(content<uint8_t>(blocks), (std::vector<uint8_t>{1, 2, 6, 2, 2, 24}));
}

TEST(DequantizeLinear, TypesAndHalfScales) {
  expect_f32(run(Op::DequantizeLinear, {i8({2}, {-128, 127}), scalar(0.5f), i8({}, {-1})}), {2},
             {-63.5f, 64});
  expect_f32(run(Op::DequantizeLinear, {u8({2}, {0, 255}), scalar(2), u8({}, {128})}), {2}, {-256, 254});
  expect_f32(run(Op::DequantizeLinear, {of<int32_t>(DType::kI32, {2}, {-70000, 3}), scalar(0.5f)}), {2},
             {-35000, 1.5f});
  const Tensor half_scale = run(Op::Cast, {scalar(0.5f)}, {{"to", int64_t{10}}});
  EXPECT_EQ(run(Op::DequantizeLinear, {i8({1}, {3}), half_scale}).dtype(), DType::kF16);
}

TEST(QuantizeLinear, Float8) {
  const Tensor x = Tensor::f32({6}, {1, 1000, -1000, 17, 19, NAN});
  const Tensor y = run(Op::QuantizeLinear, {x, scalar(1), of<uint8_t>(DType::kF8E4M3, {}, {0})});
  EXPECT_EQ(y.dtype(), DType::kF8E4M3);
  EXPECT_EQ(content<uint8_t>(y), (std::vector<uint8_t>{0x38, 0x7E, 0xFE, 0x58, 0x5A, 0x7F}));  // 17, 19: ties
  const Tensor wide = run(Op::QuantizeLinear, {x, scalar(2)}, {{"output_dtype", int64_t{17}}, {"saturate", int64_t{0}}});
  EXPECT_EQ(content<uint8_t>(wide)[1], 0x7F);
  expect_f32(run(Op::DequantizeLinear, {y, scalar(0.5f)}), {6}, {0.5f, 224, -224, 8, 10, NAN});
  const Tensor back = run(Op::Cast, {y}, {{"to", int64_t{1}}});
  expect_f32(back, {6}, {1, 448, -448, 16, 20, NAN});
  EXPECT_EQ(content<uint8_t>(run(Op::Cast, {back}, {{"to", int64_t{19}}})),
            (std::vector<uint8_t>{0x3C, 0x5F, 0xDF, 0x4C, 0x4D, 0x7E}));
  failure(Op::QuantizeLinear, {x, scalar(1), of<uint8_t>(DType::kF8E4M3, {}, {0x38})});
  failure(Op::Relu, {y});
}

// Between 2048 and 4096, float16 has every other number and bfloat16 every sixteenth.
TEST(QuantizeLinear, Precision) {
  const Tensor x = Tensor::f32({2}, {2051, -2049});
  const auto in = [&](int64_t precision) {
    const Tensor y = run(Op::QuantizeLinear, {x, scalar(1), of<int16_t>(DType::kI16, {}, {0})}, {{"precision", precision}});
    return content<int16_t>(y);
  };
  EXPECT_EQ(in(1), (std::vector<int16_t>{2051, -2049}));
  EXPECT_EQ(in(10), (std::vector<int16_t>{2052, -2048}));
  EXPECT_EQ(in(16), (std::vector<int16_t>{2048, -2048}));
  failure(Op::QuantizeLinear, {x, scalar(2)}, {{"precision", int64_t{11}}});
}

TEST(DequantizeLinear, OutputType) {
  const Tensor y = run(Op::DequantizeLinear, {i8({1}, {3}), scalar(0.5f)}, {{"output_dtype", int64_t{16}}});
  EXPECT_EQ(y.dtype(), DType::kBF16);
}

TEST(QuantizeLinear, MalformedCallsAreErrors) {
  const Tensor x = random_f32({2, 3}, 1);
  failure(Op::QuantizeLinear, {x, random_f32({2}, 1)});
  failure(Op::QuantizeLinear, {x, random_f32({3}, 1)}, {{"axis", int64_t{2}}});
  failure(Op::QuantizeLinear, {x, random_f32({3}, 1), u8({2}, {0, 0})});
  failure(Op::QuantizeLinear, {x, scalar(1), random_f32({}, 1)});
  failure(Op::QuantizeLinear, {x, scalar(1)}, {{"output_dtype", int64_t{18}}});
  failure(Op::QuantizeLinear, {x, random_f32({2, 3}, 1)}, {{"block_size", int64_t{-1}}});
  failure(Op::DequantizeLinear, {x, scalar(1)});
  failure(Op::DequantizeLinear, {u8({1}, {0}), scalar(1), i8({}, {0})});
}

TEST(QuantizedLinear, IsLinearOfTheDequantized) {
  const std::vector<uint8_t> numbers{0, 3, 255, 128, 7, 90, 200, 1};
  const Tensor x = u8({1, 2, 4}, numbers), w = i8({4, 3}, {-128, 127, 5, 0, 1, -1, 100, -100, 7, 9, 8, 64});
  const Tensor scale = Tensor::f32({3}, {0.1f, 0.02f, 3}), bias = Tensor::f32({3}, {1, -2, 3});
  const Tensor residual = random_f32({1, 2, 3}, 5);
  const Attributes attributes{
      {"x_scale", 0.25f}, {"x_zero_point", int64_t{100}}, {"activation", std::string("gelu")}};
  const Tensor real_x = run(Op::DequantizeLinear, {x, scalar(0.25f), u8({}, {100})});
  const Tensor real_w = run(Op::DequantizeLinear, {w, scale});
  const Tensor want =
      run(Op::Linear, {real_x, real_w, bias, residual}, {{"activation", std::string("gelu")}});
  const auto values = want.as<float>();
  expect_f32(run(Op::QuantizedLinear, {x, w, scale, bias, residual}, attributes), {1, 2, 3},
             {values.begin(), values.end()});
  expect_f32(run(Op::QuantizedLinear, {i8({1, 4}, {-1, 2, 3, -4}), w, scale}, {{"x_scale", 2.0f}}), {1, 3},
             {2 * 0.1f * 392, 2 * 0.02f * -457, 2 * 3.0f * -242});
}

TEST(QuantizedLinear, MalformedCallsAreErrors) {
  const Tensor x = u8({1, 2}, {1, 2}), w = i8({2, 2}, {1, 2, 3, 4}), scale = random_f32({2}, 1);
  failure(Op::QuantizedLinear, {x, w, random_f32({3}, 1)});
  failure(Op::QuantizedLinear, {x, u8({2, 2}, {1, 2, 3, 4}), scale});
  failure(Op::QuantizedLinear, {random_f32({1, 2}, 1), w, scale});
  failure(Op::QuantizedLinear, {x, w, scale, random_f32({1}, 1)});
  failure(Op::QuantizedLinear, {x, w, scale, Tensor(), random_f32({2}, 1)});
  failure(Op::QuantizedLinear, {u8({1, 3}, {1, 2, 3}), w, scale});
}

}  // namespace
}  // namespace vitrail
