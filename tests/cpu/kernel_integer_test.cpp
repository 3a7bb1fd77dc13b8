// SPDX-License-Identifier: Apache-2.0
// Products of bytes against sums in 64 bits, to the bit, and what turns floats into bytes.
#include <algorithm>

#include "cpu/kernel_testing.h"

namespace vitrail::cpu {
namespace {

class KernelIntegerTest : public KernelTest {};
VTL_FOR_EVERY_ISA(KernelIntegerTest);

template <class T>
std::vector<T> random_bytes(size_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<T> out(count);
  for (T& x : out) x = static_cast<T>(engine() >> 8);
  return out;
}

struct Problem {
  int64_t m, n, k;
  int zero = 0;  // of a as uint8
  bool is_signed = false;
  int threads = 2;
  int64_t pad = 0;
  Activation activation = Activation::kNone;
  bool bias = false, residual = false;
  float scale = 1;            // of every column
  ByteScale bytes{0, 0, 0};   // scale 0: floats come out
  int a_all = -1, w_all = 0;  // every byte the same, when a_all >= 0
};

struct Output {
  std::vector<float> c;
  std::vector<uint8_t> q;
  std::vector<double> want;  // before it becomes bytes
};

Output run(const Kernels& kernels, const Problem& p) {
  const int64_t lda = p.k + p.pad, ldc = p.n + p.pad;
  auto a = random_bytes<uint8_t>(static_cast<size_t>(p.m * lda), 1);
  auto w = random_bytes<int8_t>(static_cast<size_t>(p.k * p.n), 2);
  if (p.a_all >= 0) {
    std::fill(a.begin(), a.end(), static_cast<uint8_t>(p.a_all));
    std::fill(w.begin(), w.end(), static_cast<int8_t>(p.w_all));
  }
  const auto bias = random_floats(static_cast<size_t>(p.n), 3);
  const auto residual = random_floats(static_cast<size_t>(p.m * ldc), 4);
  const std::vector<float> scale(static_cast<size_t>(p.n), p.scale);
  Scratch packed((packed_bytes(p.k, p.n) + 3) / 4), starts(static_cast<size_t>((p.n + 15) / 16 * 16));
  Scratch scratch((integer_gemm_scratch_bytes(p.m, p.n, p.k, p.threads) + 3) / 4);
  auto* panels = reinterpret_cast<int8_t*>(packed.get());
  auto* start = reinterpret_cast<int32_t*>(starts.get());
  pack_s8(w.data(), p.k, p.n, panels);
  column_starts(w.data(), p.k, p.n, p.zero, start);
  Output out;
  out.c.assign(static_cast<size_t>(p.m * ldc), kNan);
  out.q.assign(static_cast<size_t>(p.m * ldc), 77);
  IntegerGemmArgs args{};
  args.a = a.data(), args.lda = lda, args.a_flip = p.is_signed ? 128 : 0;
  args.b_packed = panels, args.start = start, args.scale = scale.data();
  args.bias = p.bias ? bias.data() : nullptr;
  args.residual = p.residual ? residual.data() : nullptr;
  args.ldr = args.ldc = ldc;
  args.c = out.c.data();
  if (p.bytes.scale != 0) args.q = out.q.data(), args.bytes = p.bytes;
  args.m = p.m, args.n = p.n, args.k = p.k, args.activation = p.activation;
  ThreadPool pool(p.threads);
  integer_gemm(kernels, pool, args, reinterpret_cast<uint8_t*>(scratch.get()));
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      int64_t sum = 0;
      for (int64_t l = 0; l < p.k; ++l) {
        const uint8_t byte = a[static_cast<size_t>(i * lda + l)];
        const int64_t x = p.is_signed ? int64_t{static_cast<int8_t>(byte)} + 128 : int64_t{byte};
        sum += (x - p.zero) * w[static_cast<size_t>(l * p.n + j)];
      }
      const double y = static_cast<double>(sum) * p.scale + (p.bias ? bias[static_cast<size_t>(j)] : 0.0);
      out.want.push_back(exact_activation(p.activation, y) +
                         (p.residual ? residual[static_cast<size_t>(i * ldc + j)] : 0.0));
    }
  }
  return out;
}

void expect_exact(const Kernels& kernels, const Problem& p) {
  SCOPED_TRACE(testing::Message() << "m " << p.m << " n " << p.n << " k " << p.k << " zero " << p.zero
                                  << (p.is_signed ? " int8" : " uint8"));
  const Output out = run(kernels, p);
  const int64_t ldc = p.n + p.pad;
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < ldc; ++j) {
      const float got = out.c[static_cast<size_t>(i * ldc + j)];
      if (j >= p.n) {
        ASSERT_TRUE(std::isnan(got)) << "written beside row " << i;
        continue;
      }
      ASSERT_EQ(got, static_cast<float>(out.want[static_cast<size_t>(i * p.n + j)])) << i << ' ' << j;
    }
  }
}

TEST_P(KernelIntegerTest, EveryNumberOfRows) {
  for (int64_t m = 1; m <= 30; ++m) expect_exact(kernels(), {.m = m, .n = 37, .k = 19, .zero = 3});
}

TEST_P(KernelIntegerTest, OddWidthsAndDepths) {
  for (const int64_t n : {1, 15, 16, 17, 31, 32, 33, 48, 100})
    for (const int64_t k : {1, 2, 3, 4, 5, 7, 63, 64, 65, 130, 384})
      expect_exact(kernels(), {.m = 5, .n = n, .k = k, .zero = 128, .pad = 3});
}

TEST_P(KernelIntegerTest, ZeroPointsAtTheirEdges) {
  for (const int zero : {0, 1, 127, 128, 254, 255})
    for (const bool is_signed : {false, true})
      expect_exact(kernels(), {.m = 9, .n = 33, .k = 70, .zero = zero, .is_signed = is_signed});
}

// Two products of 255 and -128 leave 16 bits: what vpmaddubsw would cut off.
TEST_P(KernelIntegerTest, TheLargestSumsDoNotSaturate) {
  for (const int a : {0, 1, 127, 128, 255})
    for (const int w : {-128, -127, -1, 1, 127})
      for (const int zero : {0, 128, 255})
        expect_exact(kernels(), {.m = 3, .n = 18, .k = 3072, .zero = zero, .a_all = a, .w_all = w});
}

TEST_P(KernelIntegerTest, ManyRowsAreWorkedInChunks) {
  for (const int64_t m : {197, 213, 214, 430})
    expect_exact(kernels(), {.m = m, .n = 20, .k = 3072, .zero = 7, .threads = 3});
  expect_exact(kernels(), {.m = 1000, .n = 130, .k = 768, .zero = 7});
}

TEST_P(KernelIntegerTest, ActivationBiasResidualAndStrides) {
  for (const Activation f : kGemmActivations) {
    const Problem p{.m = 9,
                    .n = 45,
                    .k = 64,
                    .zero = 120,
                    .pad = 5,
                    .activation = f,
                    .bias = true,
                    .residual = true,
                    .scale = 0x1p-14f};
    const Output out = run(kernels(), p);
    std::vector<float> got;
    std::vector<double> tolerance;
    for (int64_t i = 0; i < p.m; ++i)
      got.insert(got.end(), out.c.begin() + i * (p.n + p.pad), out.c.begin() + i * (p.n + p.pad) + p.n);
    for (const double w : out.want) tolerance.push_back(kEps * 16 * (std::abs(w) + 2));
    EXPECT_TRUE(near(got, out.want, tolerance)) << static_cast<int>(f);
  }
}

// Scales that are powers of two make every step exact, ties included: then the bytes are, too.
TEST_P(KernelIntegerTest, BytesAreExactAndSaturate) {
  for (const int zero : {0, 1, 128, 255}) {
    for (const uint8_t flip : {0, 128}) {
      const Problem p{
          .m = 17, .n = 45, .k = 32, .zero = 128, .pad = 3, .scale = 0x1p-8f, .bytes = {0x1p-1f, zero, flip}};
      const Output out = run(kernels(), p);
      int low = 0, high = 0, ties = 0;
      for (int64_t i = 0; i < p.m; ++i) {
        for (int64_t j = 0; j < p.n + p.pad; ++j) {
          const uint8_t got = out.q[static_cast<size_t>(i * (p.n + p.pad) + j)];
          if (j >= p.n) {
            ASSERT_EQ(got, 77) << "written beside row " << i;
            continue;
          }
          const double quotient = out.want[static_cast<size_t>(i * p.n + j)] * 2;
          const double number = std::nearbyint(quotient) + zero;
          low += number<0, high += number> 255, ties += std::abs(quotient - std::trunc(quotient)) == 0.5;
          ASSERT_EQ(got ^ flip, static_cast<int>(std::clamp(number, 0.0, 255.0))) << quotient;
        }
      }
      EXPECT_TRUE(ties > 0 && (zero == 0 || high > 0) && (zero == 255 || low > 0));
    }
  }
}

// One in a thousand steps at most from the exact value of an activation.
TEST_P(KernelIntegerTest, BytesOfActivations) {
  for (const Activation f : kGemmActivations) {
    for (const float scale : {0x1p-17f, 0x1p-20f, 0x1p-13f}) {
      const Problem p{.m = 61,
                      .n = 96,
                      .k = 64,
                      .zero = 128,
                      .activation = f,
                      .bias = true,
                      .scale = scale,
                      .bytes = {0.02f, 20, 0}};
      const Output out = run(kernels(), p);
      for (size_t i = 0; i < out.want.size(); ++i) {
        const double quotient = out.want[i] / 0.02 + 20;
        ASSERT_GE(out.q[i], std::clamp(std::ceil(quotient - 0.501), 0.0, 255.0)) << static_cast<int>(f);
        ASSERT_LE(out.q[i], std::clamp(std::floor(quotient + 0.501), 0.0, 255.0)) << static_cast<int>(f);
      }
    }
  }
}

TEST_P(KernelIntegerTest, RowsHaveTheSameBitsInEveryBatch) {
  Problem p{.m = 460,
            .n = 72,
            .k = 800,
            .zero = 5,
            .threads = 1,
            .activation = Activation::kGeluErf,
            .bias = true,
            .scale = 1e-4f};
  const std::vector<float> want = run(kernels(), p).c;
  for (const int threads : {1, 3}) {
    for (const int64_t m : {1, 13, 14, 15, 197}) {
      p.m = m, p.threads = threads;
      EXPECT_TRUE(same_bits(run(kernels(), p).c.data(), want.data(), static_cast<size_t>(m * p.n))) << m;
    }
  }
}

TEST_P(KernelIntegerTest, QuantizeIsThatOfOnnx) {
  ThreadPool pool(2);
  std::vector<float> x = random_floats(9001, 1, -200.0f, 200.0f);
  const float edges[] = {0.0f, -0.0f, 0.35f, -0.35f, 1.05f, 1.75f, 1e30f, -1e30f, kInf, -kInf, 89.2f, 89.3f};
  std::copy(std::begin(edges), std::end(edges), x.begin());
  for (const float scale : {0.7f, 0.5f, 1.0f, 3e-3f}) {
    for (const int zero : {0, 3, 128, 255}) {
      for (const uint8_t flip : {0, 128}) {
        std::vector<uint8_t> q(x.size());
        quantize(kernels(), pool, x.data(), static_cast<int64_t>(x.size()), {scale, zero, flip}, q.data());
        for (size_t i = 0; i < x.size(); ++i) {
          const double number = static_cast<double>(std::nearbyint(x[i] / scale)) + zero;
          ASSERT_EQ(q[i] ^ flip, static_cast<int>(std::clamp(number, 0.0, 255.0))) << x[i] << " by " << scale;
        }
      }
    }
  }
}

TEST_P(KernelIntegerTest, LayerNormOfBytesIsLayerNormAndQuantize) {
  ThreadPool pool(2);
  for (const int64_t cols : {1, 7, 16, 33, 768}) {
    const int64_t rows = 29;
    const auto x = random_floats(static_cast<size_t>(rows * cols), 1, -3, 5);
    const auto gamma = random_floats(static_cast<size_t>(cols), 2),
               beta = random_floats(static_cast<size_t>(cols), 3);
    std::vector<float> y(x.size());
    layer_norm(kernels(), pool, x.data(), gamma.data(), beta.data(), 1e-6f, rows, cols, y.data());
    for (const ByteScale scale : {ByteScale{0x1p-6f, 128, 128}, ByteScale{0x1p-5f, 90, 0}}) {
      std::vector<uint8_t> want(x.size()), got(x.size());
      quantize(kernels(), pool, y.data(), rows * cols, scale, want.data());
      layer_norm_bytes(kernels(), pool, x.data(), gamma.data(), beta.data(), 1e-6f, rows, cols, scale,
                       got.data());
      EXPECT_EQ(got, want) << cols;  // a power of two divides as its inverse multiplies
    }
  }
}

}  // namespace
}  // namespace vitrail::cpu
