// SPDX-License-Identifier: Apache-2.0
// The kernels of rows.h, elementwise.h and patches.h against loops in double precision.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>

#include "backends/cuda/kernels/elementwise.h"
#include "backends/cuda/kernels/patches.h"
#include "backends/cuda/kernels/rows.h"
#include "cuda/device_buffer.h"

namespace vitrail::cuda {
namespace {

constexpr Type kFloats[] = {Type::kF32, Type::kF16, Type::kBF16};
constexpr Type kBytes[] = {Type::kE4M3, Type::kS8, Type::kU8};

struct RowsKernels : CudaTest {};
struct ElementKernels : CudaTest {};

void check_layer_norm(Type type, Type out, int64_t rows, int columns, std::vector<double> values, bool affine,
                      size_t offset, double absolute = 1e-5, int64_t residual_rows = 0) {
  const DeviceTensor x(type, values, offset), gamma(Type::kF32, random_values(columns, 2, 0.5, 1)),
      beta(Type::kF32, random_values(columns, 3, 0.3));
  const DeviceTensor more(type, random_values(std::max<int64_t>(residual_rows, 1) * columns, 7, 2), offset);
  DeviceTensor y(out, rows * columns), sum(type, rows * columns);
  LayerNormArgs a{.x = x.get(),
                  .y = y.get(),
                  .rows = rows,
                  .columns = columns,
                  .epsilon = 1e-6f,
                  .type = type,
                  .out = out};
  if (affine) a.gamma = gamma.floats(), a.beta = beta.floats();
  if (residual_rows) a.residual = more.get(), a.residual_rows = residual_rows, a.sum = sum.get();
  const bool bytes = type_size(out) == 1;
  if (bytes) a.out_scale = 20, a.out_zero = out == Type::kU8 ? 128 : 3;
  ASSERT_EQ(launch_layer_norm(a, nullptr, false), cudaSuccess);
  std::vector<double> want(y.values.size()), source = x.values;
  if (residual_rows) {
    std::vector<double> sums = source;
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += more.values[i % more.values.size()];
    source = sum.download();
    expect_close(type, source, sums, 1e-7, 1e-7, "sum of " + std::to_string(columns));
  }
  for (int64_t r = 0; r < rows; ++r) {
    const double* from = source.data() + r * columns;
    double mean = 0, variance = 0;
    for (int c = 0; c < columns; ++c) mean += from[c] / columns;
    for (int c = 0; c < columns; ++c) variance += (from[c] - mean) * (from[c] - mean) / columns;
    for (int c = 0; c < columns; ++c) {
      const auto i = static_cast<size_t>(c);
      double v = (from[c] - mean) / std::sqrt(variance + double{a.epsilon});
      if (affine) v = v * gamma.values[i] + beta.values[i];
      if (bytes) v = v * double{a.out_scale} + double{a.out_zero};
      want[static_cast<size_t>(r * columns + c)] = v;
    }
  }
  expect_close(out, y.download(), want, 4e-6, bytes ? 1e-3 : absolute,
               "LayerNorm of " + std::to_string(columns));
}

TEST_F(RowsKernels, LayerNorm) {
  for (Type type : kFloats)
    for (int columns : {8, 96, 192, 197, 384, 768, 1000, 1280, 2048, 2056, 3072, 5001})
      for (int64_t rows : {1, 5, 67})
        check_layer_norm(type, type, rows, columns, random_values(rows * columns, 1, 1, 0.7), rows != 5,
                         rows == 67);
  for (Type type : kFloats)
    for (Type out : {Type::kF32, Type::kE4M3, Type::kS8, Type::kU8})
      for (int columns : {384, 197})
        check_layer_norm(type, out, 9, columns, random_values(9 * columns, 4), true, 0);
}

TEST_F(RowsKernels, LayerNormOfASum) {
  for (Type type : kFloats)
    for (int columns : {8, 197, 384, 768, 2048, 3072})
      for (auto [rows, residual_rows] : {std::pair{1, 1}, {67, 67}, {66, 11}})
        check_layer_norm(type, type, rows, columns, random_values(int64_t{rows} * columns, 1, 1, 0.7), true, rows == 67,
                         1e-5, residual_rows);
}

// Squares of 6e4 overflow half precision, and E[x²] − mean² would have no digit left. Of a mean of 6e4
// float32 keeps 1e-2.
TEST_F(RowsKernels, LayerNormOfLargeValues) {
  for (int columns : {768, 197, 3072}) {
    std::vector<double> v = random_values(3 * columns, 5, 60);
    for (double& x : v) x = std::min(x + 6e4, 65504.0);
    check_layer_norm(Type::kF16, Type::kF16, 3, columns, v, true, 0, 1e-3);
    for (size_t i = 0; i < v.size(); ++i) v[i] = i % 3 ? 6e4 : -6e4;
    check_layer_norm(Type::kF16, Type::kF16, 3, columns, v, true, 0, 1e-3);
  }
}

TEST_F(RowsKernels, RowStats) {
  for (Type type : kFloats)
    for (int columns : {64, 96, 192, 200, 197, 768, 1})
      for (int64_t rows : {1, 7, 130}) {
        const DeviceTensor x(type, random_values(rows * columns, 6, 1, 50));
        const int groups = (columns + kStatsColumns - 1) / kStatsColumns;
        DeviceTensor stats(Type::kF32, rows * groups * 2);
        ASSERT_EQ(launch_row_stats(x.get(), type, rows, columns, stats.floats(), nullptr, false),
                  cudaSuccess);
        std::vector<double> want;
        for (int first = 0; first < columns; first += kStatsColumns)
          for (int64_t r = 0; r < rows; ++r) {
            const int end = std::min(columns, first + kStatsColumns);
            double mean = 0, m2 = 0;
            auto at = [&](int c) { return x.values[static_cast<size_t>(r * columns + c)]; };
            for (int c = first; c < end; ++c) mean += at(c) / (end - first);
            for (int c = first; c < end; ++c) m2 += (at(c) - mean) * (at(c) - mean);
            want.insert(want.end(), {mean, m2});
          }
        expect_close(Type::kF32, stats.download(), want, 2e-5, 2e-5,
                     "statistics of " + std::to_string(columns));
      }
}

TEST_F(RowsKernels, Softmax) {
  for (Type type : kFloats)
    for (int columns : {1, 8, 50, 197, 200, 257, 1000, 1024, 2000, 4104, 4099})
      for (bool in_place : {false, true}) {
        const int64_t rows = 13;
        std::vector<double> v = random_values(rows * columns, 7, 3);
        if (columns > 1) v[1] = -INFINITY;
        DeviceTensor x(type, v), y(type, rows * columns);
        ASSERT_EQ(launch_softmax(x.get(), in_place ? x.get() : y.get(), type, rows, columns, nullptr, false),
                  cudaSuccess);
        std::vector<double> want = x.values;
        for (int64_t r = 0; r < rows; ++r) {
          double* row = want.data() + r * columns;
          const double top = *std::max_element(row, row + columns);
          double sum = 0;
          for (int c = 0; c < columns; ++c) sum += row[c] = std::exp(row[c] - top);
          for (int c = 0; c < columns; ++c) row[c] /= sum;
        }
        DeviceTensor& result = in_place ? x : y;
        expect_close(type, result.download(), want, 2e-5, 1e-30, "softmax of " + std::to_string(columns));
      }
}

TEST_F(RowsKernels, Mean) {
  for (Type type : kFloats)
    for (int64_t outer : {1, 3})
      for (int64_t count : {1, 49, 197})
        for (int64_t inner : {1, 5, 96, 100, 384, 1000}) {
          const DeviceTensor x(type, random_values(outer * count * inner, 8, 1, 0.5));
          DeviceTensor y(type, outer * inner);
          ASSERT_EQ(launch_mean(x.get(), y.get(), type, outer, count, inner, nullptr, false), cudaSuccess);
          std::vector<double> want(y.values.size());
          for (int64_t i = 0; i < outer * count * inner; ++i)
            want[static_cast<size_t>(i / (count * inner) * inner + i % inner)] +=
                x.values[static_cast<size_t>(i)] / static_cast<double>(count);
          expect_close(type, y.download(), want, 1e-6, 3e-6, "mean over " + std::to_string(count));
        }
}

TEST_F(RowsKernels, NothingToDo) {
  EXPECT_EQ(launch_layer_norm({}, nullptr, false), cudaSuccess);
  EXPECT_EQ(launch_row_stats(nullptr, Type::kF16, 0, 768, nullptr, nullptr, false), cudaSuccess);
  EXPECT_EQ(launch_softmax(nullptr, nullptr, Type::kF16, 5, 0, nullptr, false), cudaSuccess);
  EXPECT_EQ(launch_mean(nullptr, nullptr, Type::kF16, 0, 4, 4, nullptr, false), cudaSuccess);
  EXPECT_EQ(launch_convert(nullptr, Type::kF16, nullptr, Type::kF32, 0, 1, 0, nullptr, false), cudaSuccess);
  EXPECT_EQ(launch_gather(nullptr, nullptr, nullptr, 0, 4, 4, 4, nullptr, false), cudaSuccess);
  EXPECT_EQ(launch_copy({.rank = 1}, nullptr, false), cudaSuccess);
  EXPECT_EQ(launch_binary({.rank = 1}, nullptr, false), cudaSuccess);
  EXPECT_EQ(launch_epilogue({}, nullptr, false), cudaSuccess);
}

TEST_F(ElementKernels, Convert) {
  for (int64_t count : {1, 7, 4096, 5003})
    for (size_t offset : {0, 1}) {
      for (Type from : kFloats) {
        const DeviceTensor x(from, random_values(count, 9, 3), offset);
        for (Type to : kFloats) {
          DeviceTensor y(to, count, offset);
          ASSERT_EQ(launch_convert(x.get(), from, y.get(), to, count, 1, 0, nullptr, false), cudaSuccess);
          expect_close(to, y.download(), x.values, 0, 0, "float to float");
        }
        for (Type to : kBytes) {
          DeviceTensor y(to, count, offset);
          ASSERT_EQ(launch_convert(x.get(), from, y.get(), to, count, 17.5f, 2, nullptr, false), cudaSuccess);
          std::vector<double> want = x.values;
          for (double& v : want) v = v * 17.5 + 2;
          expect_close(to, y.download(), want, 1e-6, 1e-5, "float to 8 bits");
        }
      }
      for (Type from : kBytes) {
        const DeviceTensor x(from, random_values(count, 10, 30, from == Type::kU8 ? 128 : 0), offset);
        for (Type to : kFloats) {
          DeviceTensor y(to, count, offset);
          ASSERT_EQ(launch_convert(x.get(), from, y.get(), to, count, 0.125f, 5, nullptr, false),
                    cudaSuccess);
          std::vector<double> want = x.values;
          for (double& v : want) v = (v - 5) * 0.125;
          expect_close(to, y.download(), want, 1e-6, 1e-6, "8 bits to float");
        }
      }
    }
}

double apply(Unary op, double x) {
  switch (op) {
    case Unary::kGelu:
      return 0.5 * x * std::erfc(-x * std::sqrt(0.5));
    case Unary::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case Unary::kRelu:
      return std::fmax(x, 0);
    case Unary::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Unary::kTanh:
      return std::tanh(x);
    case Unary::kErf:
      return std::erf(x);
    case Unary::kExp:
      return std::exp(x);
    case Unary::kSqrt:
      return std::sqrt(x);
    case Unary::kAbs:
      return std::fabs(x);
    case Unary::kNeg:
      return -x;
    default:
      return 1 / x;
  }
}

TEST_F(ElementKernels, Unary) {
  for (Type type : kFloats)
    for (int64_t count : {8, 4096, 4099})
      for (int op = 0; op <= static_cast<int>(Unary::kReciprocal); ++op) {
        std::vector<double> v = random_values(count, 11, 1);
        if (static_cast<Unary>(op) == Unary::kSqrt)
          for (double& x : v) x = std::fabs(x);
        const DeviceTensor x(type, v);
        DeviceTensor y(type, count);
        ASSERT_EQ(launch_unary(static_cast<Unary>(op), x.get(), y.get(), type, count, nullptr, false),
                  cudaSuccess);
        std::vector<double> want = x.values;
        for (double& w : want) w = apply(static_cast<Unary>(op), w);
        expect_close(type, y.download(), want, 3e-6, type == Type::kF32 ? 3e-7 : 4e-6,
                     "unary " + std::to_string(op));
      }
}

using Shape = std::vector<int64_t>;

// Calls f with the multi-index of every element, in row-major order.
void each_index(const Shape& extents, const std::function<void(const Shape&)>& f) {
  Shape at(extents.size());
  const int64_t count = std::accumulate(extents.begin(), extents.end(), int64_t{1}, std::multiplies<>());
  for (int64_t n = 0; n < count; ++n) {
    f(at);
    for (size_t i = extents.size(); i-- > 0 && ++at[i] == extents[i];) at[i] = 0;
  }
}
size_t offset_of(const Shape& at, const int64_t* strides, int64_t base = 0) {
  for (size_t i = 0; i < at.size(); ++i) base += at[i] * strides[i];
  return static_cast<size_t>(base);
}

TEST_F(ElementKernels, Binary) {
  struct Case {
    Shape extents, a, b;
  };
  const Case cases[] = {{{}, {}, {}},
                        {{5003}, {1}, {1}},
                        {{4096}, {1}, {0}},
                        {{3, 197, 384}, {197 * 384, 384, 1}, {0, 384, 1}},  // positions
                        {{3, 50, 384}, {50 * 384, 384, 1}, {0, 0, 1}},      // bias
                        {{3, 50, 96}, {50, 1, 0}, {50 * 96, 96, 1}},        // one number a row
                        {{2, 7, 5, 3}, {105, 15, 3, 1}, {7, 1, 0, 0}},
                        {{2, 1, 16, 24}, {1, 0, 2, 32}, {384, 9, 24, 1}},  // a transposed
                        {{4, 8}, {9, 1}, {8, 1}}};                         // rows that are not aligned
  for (Type type : kFloats)
    for (const Case& c : cases)
      for (Binary op : {Binary::kAdd, Binary::kSub, Binary::kMul, Binary::kDiv}) {
        int64_t last_a = 0, last_b = 0, count = 1;
        BinaryArgs args{.op = op, .type = type, .rank = static_cast<int>(c.extents.size())};
        for (size_t i = 0; i < c.extents.size(); ++i) {
          args.extents[i] = c.extents[i], args.a_strides[i] = c.a[i], args.b_strides[i] = c.b[i];
          last_a += (c.extents[i] - 1) * c.a[i], last_b += (c.extents[i] - 1) * c.b[i], count *= c.extents[i];
        }
        const DeviceTensor a(type, random_values(last_a + 1, 12)),
            b(type, random_values(last_b + 1, 13, 0.3, 4));
        DeviceTensor y(type, count);
        args.a = a.get(), args.b = b.get(), args.y = y.get();
        ASSERT_EQ(launch_binary(args, nullptr, false), cudaSuccess);
        std::vector<double> want;
        each_index(c.extents, [&](const Shape& at) {
          const double u = a.values[offset_of(at, c.a.data())], v = b.values[offset_of(at, c.b.data())];
          want.push_back(op == Binary::kAdd   ? u + v
                         : op == Binary::kSub ? u - v
                         : op == Binary::kMul ? u * v
                                              : u / v);
        });
        expect_close(type, y.download(), want, 2e-7, 1e-7, "binary of rank " + std::to_string(args.rank));
      }
}

TEST_F(ElementKernels, Copy) {
  struct Case {
    Shape extents, x, y;
    int64_t x_base = 0;
  };
  const Case cases[] = {
      {{}, {}, {}},
      {{1001}, {1}, {1}},
      {{2, 50, 3, 64}, {50 * 192, 192, 64, 1}, {50 * 192, 64, 50 * 64, 1}},  // heads to the front
      {{5, 7, 3}, {21, 3, 1}, {1, 5, 35}},                                   // all axes reversed
      {{33, 65}, {1, 33}, {65, 1}},
      {{4, 6, 10}, {120, 10, 1}, {80, 10, 1}},  // slice to slice
      {{3, 5, 8}, {0, 8, 1}, {40, 8, 1}},       // expand
      {{6, 9}, {18, -2}, {9, 1}, 16},           // backwards
      {{2, 1, 2, 3, 1, 2, 3, 2}, {72, 5, 36, 12, 5, 6, 2, 1}, {1, 9, 2, 4, 9, 12, 24, 72}}};
  for (int bytes : {1, 2, 4, 8})
    for (const Case& c : cases)
      for (size_t offset : {0, 1}) {
        CopyArgs args{.element_bytes = bytes, .rank = static_cast<int>(c.extents.size())};
        int64_t last_x = c.x_base, last_y = 0;
        for (size_t i = 0; i < c.extents.size(); ++i) {
          args.extents[i] = c.extents[i], args.x_strides[i] = c.x[i], args.y_strides[i] = c.y[i];
          last_x += (c.extents[i] - 1) * std::max<int64_t>(c.x[i], 0), last_y += (c.extents[i] - 1) * c.y[i];
        }
        const auto size = static_cast<size_t>(bytes);
        std::vector<uint8_t> x((static_cast<size_t>(last_x) + 1 + offset) * size);
        for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint8_t>(i * 131 + i / 251);
        std::vector<uint8_t> want((static_cast<size_t>(last_y) + 1 + offset) * size,
                                  0xCD);  // gaps stay as they were
        each_index(c.extents, [&](const Shape& at) {
          std::memcpy(want.data() + (offset + offset_of(at, c.y.data())) * size,
                      x.data() + (offset + offset_of(at, c.x.data(), c.x_base)) * size, size);
        });
        const DeviceBuffer from(x), to(want.size());
        args.x = from.get<uint8_t>() + (offset + static_cast<size_t>(c.x_base)) * size;
        args.y = to.get<uint8_t>() + offset * size;
        ASSERT_EQ(launch_copy(args, nullptr, false), cudaSuccess);
        EXPECT_EQ(to.download(), want) << bytes << " bytes, rank " << args.rank << ", offset " << offset;
      }
}

TEST_F(ElementKernels, Gather) {
  const std::vector<int64_t> index{0, 4, -1, 2, 2, -5, 1};
  const auto count = static_cast<int64_t>(index.size()), axis = int64_t{5};
  std::vector<uint8_t> raw(index.size() * sizeof(int64_t));
  std::memcpy(raw.data(), index.data(), raw.size());
  const DeviceBuffer places(raw);
  for (int64_t outer : {1, 3})
    for (int64_t inner : {1, 2, 6, 12, 24, 1536, 1537}) {
      std::vector<uint8_t> x(static_cast<size_t>(outer * axis * inner)), want;
      for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint8_t>(i * 37 + i / 200);
      for (int64_t o = 0; o < outer; ++o)
        for (int64_t j : index) {
          const auto first = x.begin() + (o * axis + (j < 0 ? j + axis : j)) * inner;
          want.insert(want.end(), first, first + inner);
        }
      const DeviceBuffer from(x), to(want.size());
      ASSERT_EQ(launch_gather(from.get(), places.get<int64_t>(), to.get(), outer, axis, count, inner, nullptr,
                              false),
                cudaSuccess);
      EXPECT_EQ(to.download(), want) << inner << " bytes";
    }
}

}  // namespace
}  // namespace vitrail::cuda
