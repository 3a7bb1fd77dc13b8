// SPDX-License-Identifier: Apache-2.0
#include "cpu/kernel_testing.h"

namespace vitrail::cpu {
namespace {

class KernelRowsTest : public KernelTest {};
VTL_FOR_EVERY_ISA(KernelRowsTest);

constexpr int64_t kWidths[] = {1, 2, 7, 15, 16, 17, 63, 64, 65, 100, 384, 768, 1000, 1025};

TEST_P(KernelRowsTest, LayerNorm) {
  ThreadPool pool(2);
  for (const int64_t cols : kWidths) {
    for (const float offset : {0.0f, 100.0f}) {  // a large mean is what a one-pass variance fails at
      const int64_t rows = 37;
      const std::vector<float> x = random_floats(static_cast<size_t>(rows * cols), 1, offset - 1, offset + 1);
      const std::vector<float> gamma = random_floats(static_cast<size_t>(cols), 2);
      const std::vector<float> beta = random_floats(static_cast<size_t>(cols), 3);
      const float eps = 1e-5f;
      std::vector<float> y = x;
      layer_norm(kernels(), pool, y.data(), gamma.data(), beta.data(), eps, rows, cols, y.data());
      std::vector<double> want(x.size());
      std::vector<double> tolerance(x.size());
      for (int64_t r = 0; r < rows; ++r) {
        const float* in = &x[static_cast<size_t>(r * cols)];
        double mean = 0;
        double variance = 0;
        for (int64_t c = 0; c < cols; ++c) mean += in[c];
        mean /= static_cast<double>(cols);
        for (int64_t c = 0; c < cols; ++c) variance += (in[c] - mean) * (in[c] - mean);
        const double inverse = 1 / std::sqrt(variance / static_cast<double>(cols) + eps);
        for (int64_t c = 0; c < cols; ++c) {
          const size_t at = static_cast<size_t>(r * cols + c);
          const double normal = (in[c] - mean) * inverse;
          want[at] = normal * gamma[static_cast<size_t>(c)] + beta[static_cast<size_t>(c)];
          // The mean's rounding shifts every element by some eps of its size; the rest is a few ulp.
          tolerance[at] =
              kEps * (8 * (std::abs(mean) + 1) * inverse + 8 * std::abs(normal) + 2 * std::abs(want[at]));
        }
      }
      EXPECT_TRUE(near(y, want, tolerance)) << cols << " columns, offset " << offset;
    }
  }
}

TEST_P(KernelRowsTest, LayerNormWithoutGammaAndBetaOfAConstantRow) {
  ThreadPool pool(1);
  const std::vector<float> x(50, 3.0f);
  std::vector<float> y(50, kNan);
  layer_norm(kernels(), pool, x.data(), nullptr, nullptr, 1e-6f, 1, 50, y.data());
  for (const float v : y) EXPECT_NEAR(v, 0.0f, 1e-3f);
}

TEST_P(KernelRowsTest, Softmax) {
  ThreadPool pool(2);
  for (const int64_t cols : kWidths) {
    const int64_t rows = 23;
    std::vector<float> x = random_floats(static_cast<size_t>(rows * cols), 4, -20.0f, 20.0f);
    if (cols > 3) x[2] = -kInf, x[static_cast<size_t>(cols)] = 300.0f;
    std::vector<float> y = x;
    softmax(kernels(), pool, y.data(), rows, cols, y.data());
    std::vector<double> want(x.size());
    std::vector<double> tolerance(x.size());
    for (int64_t r = 0; r < rows; ++r) {
      const float* in = &x[static_cast<size_t>(r * cols)];
      double top = in[0];
      double sum = 0;
      for (int64_t c = 0; c < cols; ++c) top = std::max<double>(top, in[c]);
      for (int64_t c = 0; c < cols; ++c) sum += std::exp(in[c] - top);
      for (int64_t c = 0; c < cols; ++c) {
        const size_t at = static_cast<size_t>(r * cols + c);
        want[at] = std::exp(in[c] - top) / sum;
        // The subtraction's rounding is half an ulp of a number up to |x - max|.
        tolerance[at] = want[at] * kEps * (12 + std::abs(in[c] - top)) + 1e-44;
      }
    }
    EXPECT_TRUE(near(y, want, tolerance)) << cols;
  }
}

// What a mask of -100 hides would else be a number below the normal range.
TEST_P(KernelRowsTest, SoftmaxGivesNothingToWhatAMaskHides) {
  ThreadPool pool(1);
  std::vector<float> x(40, 0.0f), y(40, kNan);
  for (size_t i = 7; i < x.size(); i += 3) x[i] = i % 2 ? -100.0f : -kInf;
  x[1] = -60.0f;
  softmax(kernels(), pool, x.data(), 1, 40, y.data());
  for (size_t i = 0; i < y.size(); ++i) {
    if (x[i] < -69.0f) {
      EXPECT_EQ(y[i], 0.0f) << i;
    } else {
      EXPECT_GE(y[i], std::numeric_limits<float>::min()) << i;
    }
  }
  EXPECT_NEAR(y[1] / y[0], std::exp(-60.0f), 1e-29f);
}

TEST_P(KernelRowsTest, RowsHaveTheSameBitsInEveryBatch) {
  const int64_t cols = 777;
  const std::vector<float> x = random_floats(static_cast<size_t>(40 * cols), 5);
  ThreadPool one(1);
  ThreadPool three(3);
  std::vector<float> a(x.size());
  std::vector<float> b(x.size());
  layer_norm(kernels(), one, x.data(), nullptr, nullptr, 1e-6f, 1, cols, a.data());
  layer_norm(kernels(), three, x.data(), nullptr, nullptr, 1e-6f, 40, cols, b.data());
  EXPECT_TRUE(same_bits(a.data(), b.data(), cols));
  softmax(kernels(), one, x.data(), 1, cols, a.data());
  softmax(kernels(), three, x.data(), 40, cols, b.data());
  EXPECT_TRUE(same_bits(a.data(), b.data(), cols));
}

TEST_P(KernelRowsTest, BinaryInEveryBroadcast) {
  ThreadPool pool(2);
  for (const auto& [rows, cols] :
       {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {7, 16}, {50, 333}, {1, 20001}}) {
    const std::vector<float> a = random_floats(static_cast<size_t>(rows * cols), 6, 0.5f, 2.0f);
    const std::vector<float> b = random_floats(static_cast<size_t>(rows * cols), 7, 0.5f, 2.0f);
    for (const Binary op : {Binary::kAdd, Binary::kSub, Binary::kMul, Binary::kDiv}) {
      for (const auto& [b_row, b_col] : {std::pair<int64_t, int64_t>{cols, 1}, {0, 1}, {1, 0}, {0, 0}}) {
        for (const bool swapped : {false, true}) {
          std::vector<float> out(a.size(), kNan);
          BinaryArgs args{op, a.data(), b.data(), cols, 1, b_row, b_col, out.data(), rows, cols};
          if (swapped) args = {op, b.data(), a.data(), b_row, b_col, cols, 1, out.data(), rows, cols};
          binary(kernels(), pool, args);
          for (int64_t r = 0; r < rows; ++r) {
            for (int64_t c = 0; c < cols; ++c) {
              float x = a[static_cast<size_t>(r * cols + c)];
              float y = b[static_cast<size_t>(r * b_row + c * b_col)];
              if (swapped) std::swap(x, y);
              const float want = op == Binary::kAdd   ? x + y
                                 : op == Binary::kSub ? x - y
                                 : op == Binary::kMul ? x * y
                                                      : x / y;
              ASSERT_EQ(out[static_cast<size_t>(r * cols + c)], want)
                  << rows << 'x' << cols << " at " << r << ' ' << c;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace vitrail::cpu
