// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/fold_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace vitrail::cuda {
namespace {

std::vector<float> random(size_t n, float mean, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(mean, 1);
  std::vector<float> v(n);
  for (float& x : v) x = normal(engine);
  return v;
}

// ((x − μ)/σ · γ + β)·W + b for one row, in double.
std::vector<double> plain(const std::vector<float>& x, const std::vector<float>& w,
                          const std::vector<float>& gamma, const std::vector<float>& beta,
                          const std::vector<float>& b, double epsilon) {
  const size_t k = x.size(), n = b.size();
  double mean = 0, variance = 0;
  for (float v : x) mean += v;
  mean /= static_cast<double>(k);
  for (float v : x) variance += (v - mean) * (v - mean);
  const double scale = 1 / std::sqrt(variance / static_cast<double>(k) + epsilon);
  std::vector<double> y(b.begin(), b.end());
  for (size_t i = 0; i < k; ++i)
    for (size_t j = 0; j < n; ++j) y[j] += ((x[i] - mean) * scale * gamma[i] + beta[i]) * w[i * n + j];
  return y;
}

TEST(FoldNorm, IsTheNormThenTheProduct) {
  constexpr size_t k = 96, n = 24;
  const auto w = random(k * n, 0, 1), gamma = random(k, 1, 2), beta = random(k, 0, 3), b = random(n, 0, 4);
  const FoldedNorm folded = fold_norm(Tensor::f32({k, n}, w), gamma, beta, b);
  for (float offset : {0.0f, 5.0f}) {
    const auto x = random(k, offset, 5);
    const auto expected = plain(x, w, gamma, beta, b, 1e-6);
    double mean = 0, variance = 0;
    for (float v : x) mean += v;
    mean /= k;
    for (float v : x) variance += (v - mean) * (v - mean);
    const double scale = 1 / std::sqrt(variance / k + 1e-6);
    for (size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (size_t i = 0; i < k; ++i) sum += static_cast<double>(x[i]) * folded.weight.as<float>()[i * n + j];
      EXPECT_NEAR(scale * sum + folded.bias.as<float>()[j], expected[j], 2e-4) << offset << " " << j;
    }
  }
}

TEST(FoldNorm, ColumnsAreCentred) {
  constexpr size_t k = 64, n = 8;
  const FoldedNorm folded = fold_norm(Tensor::f32({k, n}, random(k * n, 3, 1)), {}, {}, {});
  for (size_t j = 0; j < n; ++j) {
    double sum = 0;
    for (size_t i = 0; i < k; ++i) sum += folded.weight.as<float>()[i * n + j];
    EXPECT_NEAR(sum, 0, 1e-5);
    EXPECT_EQ(folded.bias.as<float>()[j], 0.0f);
  }
}

}  // namespace
}  // namespace vitrail::cuda
