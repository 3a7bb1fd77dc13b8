// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "quant/calibration_table.h"
#include "quant/range.h"

namespace vitrail::quant {
namespace {

using ::testing::HasSubstr;

std::vector<float> bell(size_t count, unsigned seed, float deviation = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> out(count);
  for (float& v : out) v = normal(random);
  return out;
}

TEST(Histogram, CountsDoNotDependOnOrderNorOnHowValuesAreDivided) {
  const auto small = bell(1000, 1, 0.01f), large = bell(1000, 2, 30);
  Histogram forwards, backwards, a, b;
  forwards.add(small), forwards.add(large);
  backwards.add(large), backwards.add(small);
  a.add(small), b.add(large);
  EXPECT_EQ(forwards, backwards);
  Histogram merged = a;
  merged.merge(b);
  EXPECT_EQ(merged, forwards);
  b.merge(a);
  EXPECT_EQ(b, forwards);
  EXPECT_EQ(forwards.total(), 2000u);
}

TEST(Histogram, EveryValueIsInTheBinAroundIt) {
  for (float v : {0.0f, 1.0f, -1.0f, 0.999999f, 1e-20f, -3.75f, 1e30f, -1e30f}) {
    Histogram h;
    h.add({&v, 1});
    const auto at = static_cast<int>(std::ranges::find(h.counts(), 1u) - h.counts().begin());
    EXPECT_LE(std::abs(h.centre(at) - double{v}), h.width() * 0.5000001) << v;
    EXPECT_EQ(h.bin_of(v), at) << v;
  }
}

TEST(ValueStats, FollowsChannelsAndCountsWhatIsNotFinite) {
  ValueStats s;
  s.add(std::vector<float>{1, -2, 3, std::nanf(""), 5, std::numeric_limits<float>::infinity()}, 3);
  EXPECT_EQ(s.nonfinite, 2);
  EXPECT_EQ(s.low, -2);
  EXPECT_EQ(s.high, 5);
  EXPECT_THAT(s.channel_low, ::testing::ElementsAre(0, -2, 0));  // what is not finite counts as 0
  EXPECT_THAT(s.channel_high, ::testing::ElementsAre(1, 5, 3));
}

CalibrationTable table_of(const std::vector<float>& values, const std::string& source) {
  CalibrationTable t;
  t.model_hash = "abc";
  t.preprocess = "{}";
  t.sources = {{source, "0", 1}};
  t.values["x"].add(values, 4);
  return t;
}

TEST(CalibrationTable, MergingHalvesGivesTheWhole) {
  auto values = bell(4000, 3, 2);
  CalibrationTable whole = table_of(values, "a");
  CalibrationTable first = table_of({values.begin(), values.begin() + 1000}, "a");
  ASSERT_TRUE(first.merge(table_of({values.begin() + 1000, values.end()}, "b")).ok());
  EXPECT_EQ(first.values, whole.values);
  EXPECT_EQ(first.samples(), 2);
}

TEST(CalibrationTable, TextAndBackIsTheSame) {
  const CalibrationTable table = table_of(bell(400, 4, 1e-3f), "photos \"x\"");
  const auto again = parse_calibration_table(to_json_text(table));
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(*again, table);
  EXPECT_EQ(to_json_text(*again), to_json_text(table));
  EXPECT_EQ(hash_of(*again), hash_of(table));
}

TEST(CalibrationTable, RefusesOthersAndNonsense) {
  CalibrationTable table = table_of(bell(8, 5), "a"), other = table;
  other.model_hash = "def";
  EXPECT_THAT(table.merge(other).message(), HasSubstr("two models"));
  const std::string text = to_json_text(table);
  const auto broken = [&](const std::string& from, const std::string& to) {
    std::string t = text;
    t.replace(t.find(from), from.size(), to);
    return parse_calibration_table(t).status().message();
  };
  EXPECT_THAT(broken("\"calibration\"", "\"bench\""), HasSubstr("kind"));
  EXPECT_THAT(broken("\"exponent\":", "\"exponent\":1000,\"e\":"), HasSubstr("exponent"));
  EXPECT_THAT(broken("\"first\":", "\"first\":8192,\"f\":"), HasSubstr("counts"));
  EXPECT_THAT(parse_calibration_table("[1]").status().message(), HasSubstr("kind"));
  EXPECT_FALSE(parse_calibration_table("{").ok());
}

double square_error(const std::vector<float>& values, Range range) {
  const ByteParams p = byte_params(range);
  double sum = 0;
  for (float v : values) sum += std::pow(double{v} - p.round_trip(v), 2);
  return sum;
}

TEST(Range, ZeroIsExactAndTheEndsAreKept) {
  for (const Range r : {Range{-1, 2}, Range{0.5f, 3}, Range{-4, -1}, Range{0, 0}, Range{-1e-30f, 1e30f}}) {
    const ByteParams p = byte_params(r);
    EXPECT_EQ(p.round_trip(0), 0);
    EXPECT_GT(p.scale, 0);
    EXPECT_NEAR(p.round_trip(r.high), r.high, p.scale);
    EXPECT_NEAR(p.round_trip(r.low), r.low, p.scale);
  }
}

TEST(Range, SymmetricRangesMirrorTheWiderEnd) {
  for (const Range r : {Range{-1, 2}, Range{-4, 1}, Range{0.5f, 3}, Range{0, 0}}) {
    const ByteParams p = byte_params(r, true);
    EXPECT_EQ(p.zero_point(), 0);
    EXPECT_EQ(p.round_trip(0), 0);
    const float end = std::max(std::abs(r.low), std::abs(r.high));
    EXPECT_FLOAT_EQ(p.round_trip(end), end);
    EXPECT_FLOAT_EQ(p.round_trip(-end), -end);
  }
  const auto values = bell(4000, 3);
  const Range all{-3, 9}, best = least_error_range(values, std::vector<float>{1}, all, true);
  EXPECT_EQ(best.low, -best.high);
  EXPECT_LT(best.high, 9);  // the bell does not reach so far
}

// An outlier a hundred times as large as the rest.
struct Outlier {
  std::vector<float> values = bell(20000, 6);
  Range all;
  Histogram histogram;
  Outlier() {
    values.push_back(400);
    const auto [low, high] = std::ranges::minmax(values);
    all = {low, high};
    histogram.add(values);
  }
};

TEST(Range, MethodsGiveUpAnOutlierAndMinMaxDoesNot) {
  const Outlier o;
  EXPECT_EQ(choose_range(o.histogram, o.all, RangeMethod::kMinMax), o.all);
  for (RangeMethod m : {RangeMethod::kPercentile, RangeMethod::kEntropy}) {
    const Range r = choose_range(o.histogram, o.all, m, 0.999);
    EXPECT_LT(r.high, 100) << method_name(m);
    EXPECT_LT(r.low, -0.2) << method_name(m);
  }
}

TEST(Range, LeastSquareErrorIsLessThanThatOfAnyMethod) {
  const auto values = bell(40000, 7);
  const auto [low, high] = std::ranges::minmax(values);
  Histogram h;
  h.add(values);
  const Range all{low, high};
  const double least = square_error(values, choose_range(h, all, RangeMethod::kMse));
  for (RangeMethod m : {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kEntropy})
    EXPECT_LE(least, square_error(values, choose_range(h, all, m)) * 1.001) << method_name(m);
}

TEST(Range, ImportanceDecidesWhichChannelsMatter) {
  // Channel 0 is wide and means nothing, channel 1 narrow and means all.
  std::vector<float> rows;
  const auto wide = bell(2000, 8, 50), narrow = bell(2000, 9, 1);
  for (size_t i = 0; i < wide.size(); ++i) rows.push_back(wide[i]), rows.push_back(narrow[i]);
  const auto [low, high] = std::ranges::minmax(rows);
  const Range all{low, high};
  const Range blind = least_error_range(rows, std::vector<float>{1, 1}, all);
  const Range seeing = least_error_range(rows, std::vector<float>{1e-6f, 1}, all);
  EXPECT_LT(seeing.high, blind.high / 3);
}

TEST(Range, NamesGoBothWays) {
  for (RangeMethod m : {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kEntropy, RangeMethod::kMse})
    EXPECT_EQ(method_from_name(method_name(m)), m);
  EXPECT_FALSE(method_from_name("max"));
}

}  // namespace
}  // namespace vitrail::quant
