// SPDX-License-Identifier: Apache-2.0
// MatMul, Gemm, Softmax, normalisation against independent formulas in double.
#include "call.h"

namespace vitrail {
namespace {

double at(const Tensor& t, int64_t i) { return static_cast<double>(t.as<float>()[static_cast<size_t>(i)]); }

TEST(Products, MatMulAtEdgesOfBlocksAndPanels) {
  for (const auto& [m, k, n] : {std::array<int64_t, 3>{1, 1, 1},
                                {4, 7, 32},
                                {5, 64, 33},
                                {63, 3, 31},
                                {65, 100, 65},
                                {130, 0, 3},
                                {0, 3, 3}}) {
    const Tensor a = random_f32({m, k}, 1), b = random_f32({k, n}, 2), c = run(Op::MatMul, {a, b});
    ASSERT_EQ(c.shape(), (Shape{m, n}));
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t x = 0; x < k; ++x) sum += at(a, i * k + x) * at(b, x * n + j);
        ASSERT_EQ(at(c, i * n + j), static_cast<double>(static_cast<float>(sum)))
            << m << " " << k << " " << n;
      }
  }
}

TEST(Products, MatMulBroadcastsLikeNumpy) {
  const Tensor v = Tensor::f32({2}, {1, 2}), w = Tensor::f32({2, 2}, {1, 2, 3, 4});
  expect_f32(run(Op::MatMul, {v, w}), {2}, {7, 10});
  expect_f32(run(Op::MatMul, {w, v}), {2}, {5, 11});
  expect_f32(run(Op::MatMul, {v, v}), {}, {5});
  const Tensor stack = Tensor::f32({2, 1, 1, 2}, {1, 0, 0, 1}),
               pair = Tensor::f32({3, 2, 1}, {1, 2, 3, 4, 5, 6});
  expect_f32(run(Op::MatMul, {stack, pair}), {2, 3, 1, 1}, {1, 3, 5, 2, 4, 6});
  expect_f32(run(Op::MatMul, {Tensor::f32({2, 1, 2}, {1, 0, 0, 1}), w}), {2, 1, 2}, {1, 2, 3, 4});
  expect_f32(run(Op::MatMul, {w, Tensor::f32({1, 2, 1}, {1, 1})}), {1, 2, 1}, {3, 7});
  expect_f32(run(Op::MatMul, {v, pair}), {3, 1}, {5, 11, 17});
  expect_i64(run(Op::MatMul, {Tensor::i64({1, 2}, {INT64_MAX, 3}), Tensor::i64({2, 1}, {2, 5})}), {1, 1},
             {13});
  failure(Op::MatMul, {v, Tensor::f32({3}, {1, 2, 3})});
  failure(Op::MatMul, {v, Tensor::f32({}, {1})});
  failure(Op::MatMul, {random_f32({2, 1, 2}, 1), random_f32({3, 2, 1}, 1)});
}

TEST(Products, GemmTransposesScalesAndAdds) {
  const Tensor a = Tensor::f32({2, 3}, {1, 2, 3, 4, 5, 6}), b = Tensor::f32({3, 2}, {1, 0, 0, 1, 1, 1});
  expect_f32(run(Op::Gemm, {a, b}), {2, 2}, {4, 5, 10, 11});
  expect_f32(run(Op::Gemm, {a, b, Tensor::f32({2, 1}, {10, 20})}, {{"alpha", 0.5f}, {"beta", 2.0f}}), {2, 2},
             {22, 22.5f, 45, 45.5f});
}

TEST(Products, GemmTransposedOperands) {
  const Tensor a = Tensor::f32({3, 2}, {1, 4, 2, 5, 3, 6}), b = Tensor::f32({2, 3}, {1, 0, 1, 0, 1, 1});
  expect_f32(run(Op::Gemm, {a, b}, {{"transA", int64_t{1}}, {"transB", int64_t{1}}}), {2, 2}, {4, 5, 10, 11});
  failure(Op::Gemm, {a, b}, {{"transA", int64_t{1}}});
  failure(Op::Gemm, {a, random_f32({2, 2}, 1), random_f32({5}, 1)});
}

TEST(Products, SoftmaxSumsToOneAlongItsAxis) {
  const Tensor x = random_f32({2, 5, 3}, 3);
  const Tensor y = run(Op::Softmax, {x}, {{"axis", int64_t{1}}}),
               log = run(Op::LogSoftmax, {x}, {{"axis", int64_t{1}}});
  for (int64_t o = 0; o < 2; ++o)
    for (int64_t i = 0; i < 3; ++i) {
      double sum = 0;
      for (int64_t k = 0; k < 5; ++k) sum += std::exp(at(x, o * 15 + k * 3 + i));
      for (int64_t k = 0; k < 5; ++k) {
        EXPECT_NEAR(at(y, o * 15 + k * 3 + i), std::exp(at(x, o * 15 + k * 3 + i)) / sum, 1e-7);
        EXPECT_NEAR(at(log, o * 15 + k * 3 + i), at(x, o * 15 + k * 3 + i) - std::log(sum), 1e-6);
      }
    }
  expect_f32(run(Op::Softmax, {Tensor::f32({3}, {1000, 1000, -INFINITY})}), {3}, {0.5f, 0.5f, 0});
  failure(Op::Softmax, {x}, {{"axis", int64_t{3}}});
}

// var = E[x²] - E[x]², a formula that the code does not use.
TEST(Products, LayerNormalizationOverTrailingAxes) {
  const Tensor x = random_f32({3, 2, 4}, 4);
  for (int64_t axis : {1, 2}) {
    const Shape tail(x.shape().begin() + axis, x.shape().end());
    const int64_t width = element_count(tail);
    const Tensor scale = random_f32(tail, 5), bias = random_f32(tail, 6);
    const Tensor y = run(Op::LayerNormalization, {x, scale, bias}, {{"axis", axis}, {"epsilon", 1e-3f}});
    for (int64_t row = 0; row < x.count() / width; ++row) {
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < width; ++i)
        sum += at(x, row * width + i), squares += std::pow(at(x, row * width + i), 2);
      const double mean = sum / static_cast<double>(width),
                   variance = squares / static_cast<double>(width) - mean * mean;
      for (int64_t i = 0; i < width; ++i)
        EXPECT_NEAR(at(y, row * width + i),
                    (at(x, row * width + i) - mean) / std::sqrt(variance + 1e-3) * at(scale, i) + at(bias, i),
                    1e-6);
    }
  }
  expect_f32(
      run(Op::LayerNormalization, {Tensor::f32({2}, {-1, 1}), Tensor::f32({1}, {2})}, {{"epsilon", 0.0f}}),
      {2}, {-2, 2});
  failure(Op::LayerNormalization, {x, random_f32({3}, 1)});
}

TEST(Products, BatchNormalizationAtInference) {
  const Tensor x = Tensor::f32({1, 2, 2}, {1, 2, 3, 4}), g = Tensor::f32({2}, {1, 2}),
               b = Tensor::f32({2}, {0, 1});
  const Tensor mean = Tensor::f32({2}, {1, 3}), variance = Tensor::f32({2}, {1, 4});
  expect_f32(run(Op::BatchNormalization, {x, g, b, mean, variance}, {{"epsilon", 0.0f}}), {1, 2, 2},
             {0, 1, 1, 2});
  failure(Op::BatchNormalization, {x, g, b, mean, variance}, {{"training_mode", int64_t{1}}});
  failure(Op::BatchNormalization, {x, g, b, mean, Tensor::f32({1}, {1})});
}

}  // namespace
}  // namespace vitrail
