// SPDX-License-Identifier: Apache-2.0
#include "cpu/kernel_testing.h"

namespace vitrail::cpu {
namespace {

class KernelMathTest : public KernelTest {
 protected:
  std::vector<float> apply(Activation f, const std::vector<float>& x) {
    ThreadPool pool(1);
    std::vector<float> y(x.size());
    unary(kernels(), pool, f, x.data(), y.data(), static_cast<int64_t>(x.size()));
    return y;
  }
  // Floats of [low, high], at most 5e-5 apart in proportion.
  static std::vector<float> sweep(float low, float high) {
    std::vector<float> x;
    for (float v = low; v <= high; v = std::max(std::nextafter(v, kInf), v + std::abs(v) * 5e-5f))
      x.push_back(v);
    return x;
  }
  // Largest error in units of the last place of the exact result.
  double worst_ulp(Activation f, const std::vector<float>& x, float* at) {
    const std::vector<float> y = apply(f, x);
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = exact_activation(f, x[i]);
      const auto rounded = static_cast<float>(want);
      if (rounded == y[i]) continue;
      const double ulp =
          std::max(std::nextafter(std::abs(rounded), kInf) - static_cast<double>(std::abs(rounded)),
                   static_cast<double>(std::numeric_limits<float>::denorm_min()));
      const double error = std::abs(y[i] - want) / ulp;
      if (!(error <= worst)) worst = error, *at = x[i];
    }
    return worst;
  }
};
VTL_FOR_EVERY_ISA(KernelMathTest);

TEST_P(KernelMathTest, ExpWithinTwoUlp) {
  float at = 0;
  std::vector<float> x = sweep(1e-6f, 88.7f);
  EXPECT_LE(worst_ulp(Activation::kExp, x, &at), 2.0) << "at " << at;
  for (float& v : x) v = -v;
  EXPECT_LE(worst_ulp(Activation::kExp, x, &at), 2.0) << "at " << at;
}

TEST_P(KernelMathTest, ExpOfDenormalResults) {
  std::vector<float> x;
  for (float v = -87.0f; v > -105.0f; v -= 0.01f) x.push_back(v);
  float at = 0;
  EXPECT_LE(worst_ulp(Activation::kExp, x, &at), 2.0) << "at " << at;
}

TEST_P(KernelMathTest, ErfAndTanhWithinSevenUlp) {
  for (const Activation f : {Activation::kErf, Activation::kTanh}) {
    float at = 0;
    std::vector<float> x = sweep(1e-30f, 20.0f);
    EXPECT_LE(worst_ulp(f, x, &at), 7.0) << "at " << at;
    for (float& v : x) v = -v;
    EXPECT_LE(worst_ulp(f, x, &at), 7.0) << "at " << at;
  }
}

// Where the exact value cancels (the left tail of GELU) the error is bounded by the input, as in any formula
// of this shape.
TEST_P(KernelMathTest, ActivationsFollowTheirFormulas) {
  std::vector<float> x = random_floats(20001, 7, -12.0f, 12.0f);
  x.insert(x.end(), {0.0f, -0.0f, 1e-38f, -1e-38f, 1e-42f, 30.0f, -30.0f});
  for (const Activation f : kGemmActivations) {
    std::vector<double> want;
    std::vector<double> tolerance;
    for (const float v : x) {
      want.push_back(exact_activation(f, v));
      tolerance.push_back(kEps * 6 * std::abs(v) + 6 * kEps * std::abs(want.back()) + 1e-44);
    }
    EXPECT_TRUE(near(apply(f, x), want, tolerance)) << static_cast<int>(f);
  }
}

TEST_P(KernelMathTest, ExactOnes) {
  const std::vector<float> x = random_floats(1003, 8, 0.001f, 50.0f);
  for (const Activation f :
       {Activation::kSqrt, Activation::kAbs, Activation::kNeg, Activation::kReciprocal}) {
    const std::vector<float> y = apply(f, x);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(y[i], static_cast<float>(exact_activation(f, x[i])));
  }
}

TEST_P(KernelMathTest, InfinitiesAndNan) {
  const std::vector<float> x = {kInf, -kInf, kNan, 200.0f, -200.0f};
  const auto expect = [&](Activation f, std::vector<float> want) {
    const std::vector<float> y = apply(f, x);
    for (size_t i = 0; i < x.size(); ++i) {
      if (std::isinf(want[i])) {
        EXPECT_EQ(y[i], want[i]) << static_cast<int>(f) << " of " << x[i];
      } else if (std::isnan(want[i])) {
        EXPECT_TRUE(std::isnan(y[i])) << static_cast<int>(f) << " of " << x[i] << " is " << y[i];
      } else {
        // erf and tanh may end one step of the last place below 1.
        EXPECT_NEAR(y[i], want[i], std::abs(want[i]) == 1.0f ? kEps / 2 : 0.0f)
            << static_cast<int>(f) << " of " << x[i];
      }
    }
  };
  expect(Activation::kExp, {kInf, 0, kNan, kInf, 0});
  expect(Activation::kErf, {1, -1, kNan, 1, -1});
  expect(Activation::kTanh, {1, -1, kNan, 1, -1});
  expect(Activation::kSigmoid, {1, 0, kNan, 1, 0});
  expect(Activation::kRelu, {kInf, 0, kNan, 200, 0});
  expect(Activation::kNone, {kInf, -kInf, kNan, 200, -200});
}

TEST_P(KernelMathTest, LongArraysInPiecesEqualOneByOne) {
  const std::vector<float> x = random_floats(20011, 9, -4.0f, 4.0f);
  ThreadPool pool(3);
  std::vector<float> whole(x.size());
  unary(kernels(), pool, Activation::kGeluErf, x.data(), whole.data(), static_cast<int64_t>(x.size()));
  for (size_t i = 0; i < x.size(); i += 97) EXPECT_EQ(apply(Activation::kGeluErf, {x[i]})[0], whole[i]) << i;
}

}  // namespace
}  // namespace vitrail::cpu
