// SPDX-License-Identifier: Apache-2.0
// Matrix products, Vitrail's and cuBLASLt's, against loops in double precision.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "backends/cuda/kernels/gemm.h"
#include "backends/cuda/lt.h"
#include "cuda/device_buffer.h"

namespace vitrail::cuda {
namespace {

struct LtProducts : CudaTest {};
struct GemmProducts : CudaTest {
  void SetUp() override {
    CudaTest::SetUp();
    if (!IsSkipped() && major_ != 9) GTEST_SKIP() << "the products are for compute capability 9.0";
  }
};

// A·Bᵀ of [m, k] and [n, k].
std::vector<double> multiply(const std::vector<double>& a, const std::vector<double>& b, int64_t m, int64_t n,
                             int64_t k) {
  std::vector<double> d(static_cast<size_t>(m * n));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      const double *x = a.data() + i * k, *y = b.data() + j * k;
      double sum = 0;
      for (int64_t c = 0; c < k; ++c) sum += x[c] * y[c];
      d[static_cast<size_t>(i * n + j)] = sum;
    }
  return d;
}

struct Case {
  Type type = Type::kF16;
  int64_t m = 1, n = 64, k = 384;
  bool stats = false, gelu = false, scale = false, stats_out = false, d8 = false, d = true;
  int64_t residual_rows = 0;
  Type out = Type::kF16;
};

// Statistics of the groups of columns of each row, group by group.
std::vector<double> group_stats(const std::vector<double>& x, int64_t rows, int64_t columns,
                                int64_t width = kStatsColumns) {
  std::vector<double> stats;
  for (int64_t first = 0; first < columns; first += width)
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t end = std::min<int64_t>(columns, first + width);
      double mean = 0, m2 = 0;
      for (int64_t c = first; c < end; ++c)
        mean += x[static_cast<size_t>(r * columns + c)] / static_cast<double>(end - first);
      for (int64_t c = first; c < end; ++c) m2 += std::pow(x[static_cast<size_t>(r * columns + c)] - mean, 2);
      stats.insert(stats.end(), {mean, m2});
    }
  return stats;
}

// The operands of a case on the device, and what must come out.
struct Problem {
  Case c;
  DeviceTensor a, b, bias, scale, stats, residual;
  GemmArgs args;
  std::vector<double> want;

  static double deviation(Type t) { return t == Type::kS8 ? 30 : 1; }
  explicit Problem(const Case& given)
      : c(given),
        a(c.type, random_values(c.m * c.k, 1, deviation(c.type))),
        b(c.type, random_values(c.n * c.k, 2, deviation(c.type) / (c.type == Type::kS8 ? 1 : 8))),
        bias(Type::kF32, random_values(c.n, 3)),
        scale(Type::kF32,
              random_values(c.n, 4, c.type == Type::kS8 ? 4e-6 : 0.02, c.type == Type::kS8 ? 1e-4 : 0.5)),
        stats(Type::kF32, group_stats(a.values, c.m, c.k)),
        residual(c.out, random_values(std::max<int64_t>(1, c.residual_rows) * c.n, 5)) {
    args = {.a = a.get(), .b = b.get(), .m = c.m, .n = c.n, .k = c.k, .bias = bias.floats(), .out = c.out};
    if (c.scale) args.col_scale = scale.floats();
    if (c.stats)
      args.stats = stats.floats(), args.stats_columns = static_cast<int>(c.k), args.epsilon = 1e-6f;
    if (c.gelu) args.activation = Activation::kGelu;
    if (c.residual_rows) args.residual = residual.get(), args.residual_rows = c.residual_rows;
    want = multiply(a.values, b.values, c.m, c.n, c.k);
    for (int64_t i = 0; i < c.m * c.n; ++i) {
      const auto row = static_cast<size_t>(i / c.n), column = static_cast<size_t>(i % c.n);
      double& v = want[static_cast<size_t>(i)];
      if (c.scale) v *= scale.values[column];
      if (c.stats) v *= inverse_deviation(row);
      v += bias.values[column];
      if (c.gelu) v = 0.5 * v * std::erfc(-v * std::sqrt(0.5));
      if (c.residual_rows)
        v += residual.values[row % static_cast<size_t>(c.residual_rows) * static_cast<size_t>(c.n) + column];
    }
  }
  double inverse_deviation(size_t row) const {
    const double* x = a.values.data() + row * static_cast<size_t>(c.k);
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < c.k; ++i) mean += x[i] / static_cast<double>(c.k);
    for (int64_t i = 0; i < c.k; ++i) variance += (x[i] - mean) * (x[i] - mean) / static_cast<double>(c.k);
    return 1 / std::sqrt(variance + 1e-6);
  }
};

void check_gemm(const Case& c, int multiprocessors) {
  Problem p(c);
  // Filled in before the candidates are asked for: they depend on what is wanted. The buffers follow for
  // each.
  auto bind = [&](DeviceTensor& d, DeviceTensor& d8, DeviceTensor& stats_out) {
    GemmArgs args = p.args;
    if (c.d) args.d = d.get();
    if (c.d8) args.d8 = d8.get(), args.d8_scale = 9, args.d8_zero = c.type == Type::kS8 ? -3.0f : 0.0f;
    if (c.stats_out) args.stats_out = stats_out.floats();
    return args;
  };
  const auto stats_count = [&](int width) { return c.m * ((c.n + width - 1) / width) * 2; };
  const Type type8 = type_size(c.type) == 1 ? c.type : Type::kS8;
  std::vector<GemmConfig> configs;
  {
    DeviceTensor d(c.out, c.m * c.n), d8(type8, c.m * c.n),
        stats_out(Type::kF32, stats_count(kStatsColumns));
    configs = gemm_candidates(c.type, bind(d, d8, stats_out), multiprocessors);
  }
  ASSERT_FALSE(configs.empty());
  for (const GemmConfig& config : configs) {
    const std::string what = config.name() + " m=" + std::to_string(c.m) + " n=" + std::to_string(c.n) +
                             " k=" + std::to_string(c.k) + " type " +
                             std::to_string(static_cast<int>(c.type));
    SCOPED_TRACE(what);
    DeviceTensor d(c.out, c.m * c.n), d8(type8, c.m * c.n),
        stats_out(Type::kF32, stats_count(config.stats_width()));
    GemmPlan plan;
    ASSERT_EQ(plan_gemm(c.type, bind(d, d8, stats_out), config, multiprocessors, &plan), cudaSuccess);
    ASSERT_EQ(launch_gemm(c.type, plan, nullptr, false), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    // The FP8 tensor cores of Hopper keep some 14 bits of a sum; the others add in float32, truncating.
    const double absolute = c.type == Type::kE4M3 ? 5e-2 : 2e-4;
    if (c.d) expect_close(c.out, d.download(), p.want, c.type == Type::kE4M3 ? 2e-3 : 1e-5, absolute, "d");
    if (c.d8) {
      std::vector<double> want8 = p.want;
      for (double& v : want8) v = v * 9 + double{plan.args.d8_zero};
      // Of D before or after its own rounding.
      expect_close(type8, d8.download(), want8, 0x1p-11, 9 * absolute + 0.01, "d8");
    }
    if (c.stats_out && c.d)
      expect_close(Type::kF32, stats_out.download(), group_stats(d.values, c.m, c.n, config.stats_width()), 2e-4, 5e-3,
                   "statistics");
  }
}

TEST_F(GemmProducts, EveryConfiguration) {
  for (Type type : {Type::kF16, Type::kBF16})
    for (int64_t m : {1, 5, 50, 128, 197, 300})
      for (int64_t n : {192, 200, 100})
        for (int64_t k : {96, 384, 768}) {
          if (m != 197 && k == 96) continue;
          const Type out = type;
          check_gemm({.type = type, .m = m, .n = n, .k = k, .out = out}, multiprocessors_);
          if (k != 768 || m == 128) continue;
          check_gemm({.type = type, .m = m, .n = n, .k = k, .gelu = true, .out = out}, multiprocessors_);
          check_gemm({.type = type, .m = m, .n = n, .k = k, .stats = true, .out = out}, multiprocessors_);
          check_gemm({.type = type, .m = m, .n = n, .k = k, .stats = true, .gelu = true, .out = out},
                     multiprocessors_);
          check_gemm({.type = type, .m = m, .n = n, .k = k, .residual_rows = m, .out = out},
                     multiprocessors_);
          check_gemm(
              {.type = type, .m = m, .n = n, .k = k, .stats_out = true, .residual_rows = m, .out = out},
              multiprocessors_);
          check_gemm({.type = type, .m = m, .n = n, .k = k, .residual_rows = (m + 2) / 3, .out = out},
                     multiprocessors_);
          check_gemm({.type = type, .m = m, .n = n, .k = k, .out = Type::kF32}, multiprocessors_);
        }
}

TEST_F(GemmProducts, EveryConfigurationOfEightBits) {
  for (Type type : {Type::kE4M3, Type::kS8})
    for (int64_t m : {1, 50, 197, 300})
      for (int64_t n : {192, 208, 100})
        for (int64_t k : {96, 384, 768}) {
          if (m != 197 && k != 384) continue;
          const Case plain{.type = type, .m = m, .n = n, .k = k, .scale = true};
          check_gemm(plain, multiprocessors_);
          Case c = plain;
          c.d8 = true;
          check_gemm(c, multiprocessors_);
          c.d = false, c.gelu = true;
          check_gemm(c, multiprocessors_);
          c = plain, c.d8 = c.stats_out = true, c.residual_rows = m;
          check_gemm(c, multiprocessors_);
          c = plain, c.residual_rows = (m + 2) / 3;
          check_gemm(c, multiprocessors_);
          c = plain, c.out = Type::kF32;
          check_gemm(c, multiprocessors_);
          if (type != Type::kE4M3) continue;
          c = plain, c.stats = c.gelu = true;
          check_gemm(c, multiprocessors_);
        }
}

// An image gets the same answer whatever it is batched with.
TEST_F(GemmProducts, RowsDoNotDependOnTheirNeighbours) {
  for (Type type : {Type::kF16, Type::kBF16, Type::kE4M3, Type::kS8}) {
    const Type out = type == Type::kBF16 ? Type::kBF16 : Type::kF16;
    Case c{.type = type,
           .m = 197,
           .n = 208,
           .k = 768,
           .scale = type_size(type) == 1,
           .residual_rows = 197,
           .out = out};
    Problem p(c);
    int compared = 0;
    for (const GemmConfig& config : gemm_candidates(type, p.args, multiprocessors_)) {
      std::vector<uint8_t> rows[2];
      bool possible = true;
      for (int i = 0; i < 2 && possible; ++i) {
        GemmArgs args = p.args;
        args.m = i ? 5 : c.m, args.residual_rows = args.m;
        const DeviceTensor d(out, args.m * c.n);
        args.d = d.get();
        GemmPlan plan;
        possible = plan_gemm(type, args, config, multiprocessors_, &plan) == cudaSuccess;
        if (!possible) break;
        ASSERT_EQ(launch_gemm(type, plan, nullptr, false), cudaSuccess) << config.name();
        rows[i] = d.bytes();
      }
      if (!possible) continue;
      rows[0].resize(rows[1].size());
      EXPECT_EQ(rows[0], rows[1]) << config.name();
      ++compared;
    }
    EXPECT_GT(compared, 0);
  }
}

void check_lt(const Lt& lt, const LtProblem& p) {
  SCOPED_TRACE("m=" + std::to_string(p.m) + " n=" + std::to_string(p.n) + " in " +
               std::to_string(static_cast<int>(p.in)));
  const bool integer = p.in == Type::kS8;
  const DeviceTensor a(p.in, random_values(p.batch * p.m * p.k, 1, integer ? 30 : 1)),
      b(p.in, random_values(p.batch * p.n * p.k, 2, integer ? 30 : 0.125)),
      bias(p.out, random_values(p.n, 3)), residual(p.out, random_values(p.batch * p.m * p.n, 4));
  const size_t workspace = size_t{8} << 20;
  const DeviceBuffer scratch(workspace);
  auto plans = lt.plans(p, workspace, 4);
  ASSERT_TRUE(plans.ok()) << plans.status().message();
  std::vector<double> want;
  for (int64_t i = 0; i < p.batch; ++i) {
    const std::vector<double> x(a.values.begin() + i * p.m * p.k, a.values.begin() + (i + 1) * p.m * p.k);
    std::vector<double> y(static_cast<size_t>(p.n * p.k));
    for (int64_t j = 0; j < p.n * p.k; ++j)
      y[static_cast<size_t>(j)] =
          b.values[static_cast<size_t>(i * p.n * p.k + (p.b_is_k_by_n ? j % p.k * p.n + j / p.k : j))];
    const std::vector<double> d = multiply(x, y, p.m, p.n, p.k);
    want.insert(want.end(), d.begin(), d.end());
  }
  const double alpha = integer ? 1 : 0.5;
  for (size_t i = 0; i < want.size(); ++i)
    want[i] = alpha * want[i] + (p.bias ? bias.values[i % static_cast<size_t>(p.n)] : 0) +
              (p.residual ? residual.values[i] : 0);
  for (const auto& plan : plans.value()) {
    EXPECT_LE(plan->workspace_bytes(), workspace);
    DeviceTensor d(integer ? Type::kF32 : p.out, p.batch * p.m * p.n);
    const Status s =
        lt.run(*plan, a.get(), b.get(), p.bias ? bias.get() : nullptr, p.residual ? residual.get() : nullptr,
               d.get(), scratch.get(), nullptr, static_cast<float>(alpha));
    ASSERT_TRUE(s.ok()) << s.message();
    d.download();
    if (integer) {  // the words are int32
      const std::vector<uint8_t> words = d.bytes();
      for (size_t i = 0; i < d.values.size(); ++i) {
        int32_t word;
        std::memcpy(&word, words.data() + i * sizeof(word), sizeof(word));
        d.values[i] = word;
      }
    }
    // With K split, the library may add partial sums in D's type.
    const double relative = integer ? 0 : p.out == Type::kF16 ? 1e-3 : p.out == Type::kBF16 ? 8e-3 : 2e-5;
    const double absolute = p.in == Type::kE4M3 ? 2e-2 : p.tf32 ? 2e-2 : integer ? 0 : 5e-5;
    expect_close(integer ? Type::kF32 : p.out, d.values, want, relative, absolute);
  }
}

TEST_F(LtProducts, MatchTheDefinition) {
  auto lt = Lt::open();
  if (!lt.ok()) GTEST_SKIP() << lt.status().message();
  EXPECT_NE((*lt)->version().find('.'), std::string::npos);
  for (Type type : {Type::kF32, Type::kF16, Type::kBF16})
    for (int64_t m : {1, 50, 197})
      for (bool b_is_k_by_n : {false, true})
        for (int parts = 0; parts < 4; ++parts)
          check_lt(**lt, {.m = m,
                          .n = 200,
                          .k = 384,
                          .b_is_k_by_n = b_is_k_by_n,
                          .in = type,
                          .out = type,
                          .bias = (parts & 1) != 0,
                          .residual = (parts & 2) != 0});
  check_lt(
      **lt,
      {.m = 50, .n = 64, .k = 96, .batch = 3, .a_stride = 50 * 96, .b_stride = 64 * 96, .d_stride = 50 * 64});
  check_lt(**lt, {.m = 50, .n = 192, .k = 384, .in = Type::kF32, .out = Type::kF32, .tf32 = true});
  check_lt(**lt, {.m = 208, .n = 192, .k = 384, .in = Type::kS8, .out = Type::kF32});
  if (major_ >= 9) check_lt(**lt, {.m = 208, .n = 192, .k = 384, .in = Type::kE4M3, .out = Type::kF16});
}

TEST_F(LtProducts, AnImpossibleProblemIsNamed) {
  auto lt = Lt::open();
  if (!lt.ok()) GTEST_SKIP() << lt.status().message();
  const auto plans = (*lt)->plans({.m = 0, .n = 17, .k = 31}, 0, 1);
  ASSERT_FALSE(plans.ok());
  EXPECT_NE(plans.status().message().find("n=17 k=31 float16"), std::string::npos)
      << plans.status().message();
}

}  // namespace
}  // namespace vitrail::cuda
