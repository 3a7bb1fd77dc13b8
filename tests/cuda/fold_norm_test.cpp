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

struct Folded {
  std::vector<float> weight, bias;
};
// All columns, `piece` at a time.
Folded fold(const std::vector<float>& w, size_t k, size_t n, const std::vector<float>& gamma,
            const std::vector<float>& beta, const std::vector<float>& b, size_t piece) {
  Folded out{std::vector<float>(k * n), std::vector<float>(n)};
  for (size_t first = 0; first < n; first += piece) {
    const size_t count = std::min(piece, n - first);
    std::vector<float> columns(k * count);
    fold_norm({w.data(), static_cast<int64_t>(k), static_cast<int64_t>(n), gamma, beta, b},
              static_cast<int64_t>(first), static_cast<int64_t>(count), columns.data(), out.bias.data() + first);
    for (size_t i = 0; i < k; ++i)
      std::copy_n(columns.begin() + static_cast<std::ptrdiff_t>(i * count), count,
                  out.weight.begin() + static_cast<std::ptrdiff_t>(i * n + first));
  }
  return out;
}

TEST(FoldNorm, IsTheNormThenTheProduct) {
  constexpr size_t k = 96, n = 24;
  const auto w = random(k * n, 0, 1), gamma = random(k, 1, 2), beta = random(k, 0, 3), b = random(n, 0, 4);
  const Folded folded = fold(w, k, n, gamma, beta, b, n);
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
      for (size_t i = 0; i < k; ++i) sum += static_cast<double>(x[i]) * folded.weight[i * n + j];
      EXPECT_NEAR(scale * sum + folded.bias[j], expected[j], 2e-4) << offset << " " << j;
    }
  }
}

TEST(FoldNorm, ColumnsAreCentred) {
  constexpr size_t k = 64, n = 8;
  const Folded folded = fold(random(k * n, 3, 1), k, n, {}, {}, {}, n);
  for (size_t j = 0; j < n; ++j) {
    double sum = 0;
    for (size_t i = 0; i < k; ++i) sum += folded.weight[i * n + j];
    EXPECT_NEAR(sum, 0, 1e-5);
    EXPECT_EQ(folded.bias[j], 0.0f);
  }
}

// The packing cuts them over threads.
TEST(FoldNorm, DoesNotDependOnTheCut) {
  constexpr size_t k = 40, n = 21;
  const auto w = random(k * n, 1, 1), gamma = random(k, 1, 2), beta = random(k, 0, 3), b = random(n, 0, 4);
  const Folded whole = fold(w, k, n, gamma, beta, b, n), cut = fold(w, k, n, gamma, beta, b, 8);
  EXPECT_EQ(whole.weight, cut.weight);
  EXPECT_EQ(whole.bias, cut.bias);
}

}  // namespace
}  // namespace vitrail::cuda
