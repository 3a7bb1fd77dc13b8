// SPDX-License-Identifier: Apache-2.0
#include "verify/tensor_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "verify/agreement.h"
#include "verify/elements.h"

namespace vitrail {
namespace {

using testing::HasSubstr;

TensorError compare(const std::vector<float>& got, const std::vector<float>& want) {
  TensorErrorAccumulator accumulator("y");
  const auto n = static_cast<int64_t>(want.size());
  EXPECT_TRUE(accumulator.add(Tensor::f32({1, n}, got).view(), Tensor::f32({1, n}, want).view()).ok());
  return accumulator.result();
}

TEST(TensorError, MatchesFiguresByHand) {
  const TensorError e = compare({1, 2, 3.5f, -4}, {1, 2.25f, 3, -4});
  EXPECT_DOUBLE_EQ(e.max_abs, 0.5);
  EXPECT_DOUBLE_EQ(e.mean_abs, 0.75 / 4);
  EXPECT_DOUBLE_EQ(e.max_rel, 0.5 / 3);
  EXPECT_DOUBLE_EQ(e.max_scaled, 0.5 / 4);
  // dot 1 + 4.5 + 10.5 + 16 = 32, |got|² = 33.25, |want|² = 31.0625
  EXPECT_NEAR(e.cosine, 32 / std::sqrt(33.25 * 31.0625), 1e-12);
  // MSE = (0.0625 + 0.25) / 4, range = 3 + 4
  EXPECT_NEAR(e.psnr, 10 * std::log10(49 / 0.078125), 1e-9);
  EXPECT_EQ(e.count, 4);
  EXPECT_EQ(e.worst_index, (Shape{0, 2}));
  EXPECT_EQ(e.got, 3.5);
  EXPECT_EQ(e.want, 3);
}

TEST(TensorError, EqualTensorsAreExact) {
  const TensorError e = compare({1, -2}, {1, -2});
  EXPECT_EQ(e.max_abs, 0);
  EXPECT_EQ(e.max_rel, 0);
  EXPECT_DOUBLE_EQ(e.cosine, 1);
  EXPECT_EQ(e.psnr, HUGE_VAL);
}

TEST(TensorError, AccumulatesOverSamples) {
  TensorErrorAccumulator accumulator("y");
  const Shape shape{1, 2};
  accumulator.add(std::vector<double>{1, 0}, std::vector<double>{1, 0}, shape);     // cosine 1
  accumulator.add(std::vector<double>{0, 3}, std::vector<double>{3, 0}, shape);     // cosine 0, error 3 of 3
  accumulator.add(std::vector<double>{100, 0}, std::vector<double>{99, 0}, shape);  // error 1 of 99
  const TensorError e = accumulator.result();
  EXPECT_DOUBLE_EQ(e.cosine, 2.0 / 3);
  EXPECT_DOUBLE_EQ(e.min_cosine, 0);
  EXPECT_DOUBLE_EQ(e.max_abs, 3);
  EXPECT_DOUBLE_EQ(e.max_scaled, 1);
  EXPECT_DOUBLE_EQ(e.mean_abs, 7.0 / 6);
  EXPECT_EQ(e.worst_sample, 1);
  EXPECT_EQ(e.samples, 3);
}

TEST(TensorError, NanAndInfinityOnEitherSideCannotBeMissed) {
  for (const auto& [got, want] : {std::pair{std::vector<float>{1, NAN, 3}, std::vector<float>{1, 2, 3}},
                                  std::pair{std::vector<float>{1, 2, 3}, std::vector<float>{1, -INFINITY, 3}},
                                  std::pair{std::vector<float>{1, NAN, 3}, std::vector<float>{1, NAN, 3}}}) {
    const TensorError e = compare(got, want);
    EXPECT_EQ(e.non_finite, 1);
    EXPECT_EQ(e.max_abs, HUGE_VAL);
    EXPECT_EQ(e.max_scaled, HUGE_VAL);
    EXPECT_TRUE(std::isnan(e.cosine));
    EXPECT_EQ(e.worst_index, (Shape{0, 1}));
  }
}

TEST(TensorError, ZerosOnOneSide) {
  EXPECT_EQ(compare({0, 0}, {0, 0}).cosine, 1);
  const TensorError e = compare({1, 0}, {0, 0});
  EXPECT_EQ(e.cosine, 0);
  EXPECT_EQ(e.max_scaled, HUGE_VAL);  // no scale to be small against
}

TEST(TensorError, SmallElementsAreRelativeToTheScale) {
  EXPECT_DOUBLE_EQ(compare({1000, 0.001f}, {1000, 0}).max_rel, static_cast<double>(0.001f) / 1e-3);
}

TEST(TensorError, DifferentCountsAreNamed) {
  TensorErrorAccumulator accumulator("logits");
  const Status status =
      accumulator.add(Tensor::f32({1, 2}, {1, 2}).view(), Tensor::f32({3}, {1, 2, 3}).view());
  EXPECT_EQ(status.code(), Code::kBadInput);
  EXPECT_THAT(status.message(), HasSubstr("logits: the shapes [1,2] and [3]"));
}

TEST(Elements, ReadsEveryType) {
  auto read = []<class T>(DType dtype, std::vector<T> values) {
    const Tensor t = Tensor::from<T>(dtype, {static_cast<int64_t>(values.size())}, values);
    return *elements(t.view());
  };
  using V = std::vector<double>;
  // binary16: 1, -2, the least subnormal, the greatest finite, infinity
  EXPECT_EQ(read.operator()<uint16_t>(DType::kF16, {0x3C00, 0xC000, 0x0001, 0x7BFF, 0x7C00}),
            (V{1, -2, std::ldexp(1.0, -24), 65504, HUGE_VAL}));
  EXPECT_TRUE(std::isnan(read.operator()<uint16_t>(DType::kF16, {0x7E00})[0]));
  EXPECT_EQ(read.operator()<uint16_t>(DType::kBF16, {0x3F80, 0xC040}), (V{1, -3}));
  EXPECT_EQ(read.operator()<int8_t>(DType::kI8, {-128, 127}), (V{-128, 127}));
  EXPECT_EQ(read.operator()<uint8_t>(DType::kU8, {255}), (V{255}));
  EXPECT_EQ(read.operator()<int64_t>(DType::kI64, {-5}), (V{-5}));
  EXPECT_EQ(read.operator()<double>(DType::kF64, {0.1}), (V{0.1}));
  EXPECT_FALSE(elements(TensorView{}).ok());
}

TEST(Agreement, CountsRowsAndSharedClasses) {
  Agreement agreement;
  EXPECT_FALSE(agreement.top1());
  const std::vector<double> a{9, 8, 7, 6, 5, 0, 0}, b{9, 8, 7, 6, 0, 5, 0}, c{0, 9, 8, 7, 6, 5, 1};
  agreement.add_row(a, a);
  agreement.add_row(b, a);  // 4 of 5 shared, same first
  EXPECT_DOUBLE_EQ(*agreement.top1(), 1);
  EXPECT_DOUBLE_EQ(*agreement.top5(), 0.9);
  agreement.add_row(c, a);  // other first, 4 of 5
  EXPECT_DOUBLE_EQ(*agreement.top1(), 2.0 / 3);
  EXPECT_DOUBLE_EQ(*agreement.top5(), 13.0 / 15);
}

TEST(Agreement, TiesGoToTheLowerClassAndNanComesLast) {
  Agreement ties;
  ties.add_row(std::vector<double>{1, 1, 1, 1, 1, 1}, std::vector<double>{2, 1, 1, 1, 1, 0});
  EXPECT_EQ(ties.top1(), 1);
  EXPECT_EQ(ties.top5(), 1);
  Agreement nan;
  nan.add_row(std::vector<double>{NAN, 1, 2}, std::vector<double>{3, 1, 2});
  EXPECT_EQ(nan.top1(), 0);
  EXPECT_FALSE(nan.top5());  // 3 classes
}

}  // namespace
}  // namespace vitrail
