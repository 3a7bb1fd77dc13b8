// SPDX-License-Identifier: Apache-2.0
#include "cpu/kernel_testing.h"

namespace vitrail::cpu {
namespace {

class KernelGemmTest : public KernelTest {};
VTL_FOR_EVERY_ISA(KernelGemmTest);

struct Problem {
  int64_t m, n, k;
  Activation activation = Activation::kNone;
  bool bias = true;
  bool residual = false;
  float scale = 1.0f;
  int64_t pad = 0;  // extra floats in every row of a, c and the residual
  int threads = 2;
};

struct Data {
  std::vector<float> a, w, bias, c;
};

Data make(const Problem& p) {
  return {random_floats(static_cast<size_t>(p.m * (p.k + p.pad)), 1),
          random_floats(static_cast<size_t>(p.k * p.n), 2), random_floats(static_cast<size_t>(p.n), 3),
          random_floats(static_cast<size_t>(p.m * (p.n + p.pad)), 4)};
}

// c as the kernel leaves it; the residual is c itself.
std::vector<float> run(const Kernels& kernels, const Problem& p, const Data& data) {
  ThreadPool pool(p.threads);
  Scratch packed(packed_floats(p.k, p.n));
  pack_b(data.w.data(), p.k, p.n, p.n, packed.get());
  std::vector<float> c = data.c;
  GemmArgs args{};
  args.a = data.a.data();
  args.lda = p.k + p.pad;
  args.b_packed = packed.get();
  args.bias = p.bias ? data.bias.data() : nullptr;
  args.residual = p.residual ? c.data() : nullptr;
  args.ldr = args.ldc = p.n + p.pad;
  args.c = c.data();
  args.m = p.m, args.n = p.n, args.k = p.k;
  args.activation = p.activation;
  args.scale = p.scale;
  Scratch scratch(gemm_scratch_floats(p.m, p.n, p.k, p.threads));
  gemm(kernels, pool, args, scratch.get());
  return c;
}

void check(const Kernels& kernels, const Problem& p) {
  SCOPED_TRACE(testing::Message() << "m " << p.m << " n " << p.n << " k " << p.k << " pad " << p.pad
                                  << " activation " << static_cast<int>(p.activation));
  const Data data = make(p);
  const std::vector<float> got = run(kernels, p, data);
  std::vector<double> want(data.c.begin(), data.c.end());  // the padding stays as it was
  std::vector<double> tolerance(want.size(), 0.0);
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      double sum = p.bias ? data.bias[j] : 0.0;
      double a2 = 0;
      double w2 = 0;
      for (int64_t l = 0; l < p.k; ++l) {
        const double a = data.a[i * (p.k + p.pad) + l];
        const double w = data.w[l * p.n + j];
        sum += a * w;
        a2 += a * a;
        w2 += w * w;
      }
      const size_t at = static_cast<size_t>(i * (p.n + p.pad) + j);
      const double residual = p.residual ? data.c[at] : 0.0;
      want[at] = exact_activation(p.activation, sum) * p.scale + residual;
      // A sum in order loses about sqrt(k) roundings of partial sums no larger than the norms' product; no
      // activation here is steeper than 1.13, and they add some ulp of their own.
      tolerance[at] =
          kEps * ((4 + std::sqrt(static_cast<double>(p.k))) * std::sqrt(a2 * w2) * std::abs(p.scale) +
                  8 * (std::abs(sum) + std::abs(residual) + 1));
    }
  }
  EXPECT_TRUE(near(got, want, tolerance));
}

TEST_P(KernelGemmTest, EveryNumberOfRows) {
  for (int64_t m = 1; m <= 30; ++m) check(kernels(), {.m = m, .n = 37, .k = 19});
}

TEST_P(KernelGemmTest, OddWidthsAndDepths) {
  for (const int64_t n : {1, 15, 16, 17, 31, 32, 33, 48, 100}) {
    for (const int64_t k : {1, 2, 7, 64, 384}) check(kernels(), {.m = 5, .n = n, .k = k});
  }
}

TEST_P(KernelGemmTest, DeepSumsAreWorkedInRuns) {
  for (const int64_t k : {767, 768, 769, 1537, 3072}) {
    check(kernels(), {.m = 17, .n = 40, .k = k, .activation = Activation::kGeluErf, .residual = true});
  }
}

TEST_P(KernelGemmTest, ManyRowsAreWorkedInChunks) {
  for (const int64_t m : {197, 224, 225, 449, 700}) {
    check(kernels(), {.m = m, .n = 33, .k = 40, .residual = true, .threads = 3});
  }
}

TEST_P(KernelGemmTest, ActivationScaleResidualAndStrides) {
  for (const Activation f : kGemmActivations) {
    check(kernels(),
          {.m = 9, .n = 45, .k = 24, .activation = f, .residual = true, .scale = 0.375f, .pad = 5});
    check(kernels(), {.m = 9, .n = 45, .k = 24, .activation = f, .bias = false, .pad = 1});
  }
}

TEST_P(KernelGemmTest, EmptySumIsTheBias) { check(kernels(), {.m = 3, .n = 20, .k = 0}); }

// The product's first decision: a row does not depend on its neighbours, on their number or on the threads.
TEST_P(KernelGemmTest, RowsHaveTheSameBitsInEveryBatch) {
  const Problem whole{.m = 460, .n = 72, .k = 800, .activation = Activation::kGeluErf, .threads = 1};
  const Data data = make(whole);
  const std::vector<float> want = run(kernels(), whole, data);
  for (const int threads : {1, 2, 3}) {
    for (const int64_t m : {1, 2, 13, 14, 15, 197, 225, 460}) {
      Problem part = whole;
      part.m = m;
      part.threads = threads;
      Data some = data;
      some.a.resize(static_cast<size_t>(m * whole.k));
      some.c.resize(static_cast<size_t>(m * whole.n));
      const std::vector<float> got = run(kernels(), part, some);
      EXPECT_TRUE(same_bits(got.data(), want.data(), got.size())) << m << " rows, " << threads << " threads";
    }
  }
}

TEST_P(KernelGemmTest, RowsHaveTheSameBitsAtEveryPlace) {
  const Problem p{.m = 31, .n = 50, .k = 33, .activation = Activation::kSilu};
  Data data = make(p);
  for (int64_t i = 1; i < p.m; ++i) std::copy_n(data.a.begin(), p.k, data.a.begin() + i * p.k);
  const std::vector<float> got = run(kernels(), p, data);
  for (int64_t i = 1; i < p.m; ++i)
    EXPECT_TRUE(same_bits(&got[static_cast<size_t>(i * p.n)], got.data(), 50)) << i;
}

TEST_P(KernelGemmTest, NanStaysInItsRowAndColumn) {
  const Problem p{.m = 20, .n = 40, .k = 9, .activation = Activation::kRelu};
  Data data = make(p);
  data.a[4 * 9 + 3] = kNan;
  data.bias[39] = kNan;
  const std::vector<float> got = run(kernels(), p, data);
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      EXPECT_EQ(std::isnan(got[static_cast<size_t>(i * p.n + j)]), i == 4 || j == 39) << i << ' ' << j;
    }
  }
}

TEST(PackB, BothSourcesGiveTheSamePanelsPaddedWithZeros) {
  const int64_t k = 5;
  const int64_t n = 21;
  const std::vector<float> w = random_floats(k * (n + 2), 5);
  std::vector<float> turned(static_cast<size_t>(n * (k + 3)), kNan);
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t j = 0; j < n; ++j)
      turned[static_cast<size_t>(j * (k + 3) + i)] = w[static_cast<size_t>(i * (n + 2) + j)];
  }
  ASSERT_EQ(packed_floats(k, n), size_t{5 * 32});
  Scratch a(packed_floats(k, n));
  Scratch b(packed_floats(k, n));
  pack_b(w.data(), k, n, n + 2, a.get());
  pack_b_transposed(turned.data(), k, n, k + 3, b.get());
  EXPECT_TRUE(same_bits(a.get(), b.get(), packed_floats(k, n)));
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t j = 0; j < 32; ++j) {
      EXPECT_EQ(a.get()[j / 16 * k * 16 + i * 16 + j % 16],
                j < n ? w[static_cast<size_t>(i * (n + 2) + j)] : 0.0f);
    }
  }
}

}  // namespace
}  // namespace vitrail::cpu
