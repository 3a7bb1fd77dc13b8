// SPDX-License-Identifier: Apache-2.0
#include "core/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace vitrail {
namespace {

TEST(Half, EveryHalfSurvivesTheWayThroughFloat) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const auto bits = static_cast<uint16_t>(h);
    const float f = half_to_float(bits);
    if (std::isnan(f))
      EXPECT_TRUE(std::isnan(half_to_float(float_to_half(f))));
    else
      EXPECT_EQ(float_to_half(f), bits);
    const float b = bfloat16_to_float(bits);
    if (std::isnan(b))
      EXPECT_TRUE(std::isnan(bfloat16_to_float(float_to_bfloat16(b))));
    else
      EXPECT_EQ(float_to_bfloat16(b), bits);
  }
}

// Between two neighbours the nearer wins, and in the middle the one with an even last bit.
TEST(Half, RoundsToNearestEven) {
  for (uint32_t h = 0; h < 0x7BFF; ++h) {
    const double low = static_cast<double>(half_to_float(static_cast<uint16_t>(h)));
    const double high = static_cast<double>(half_to_float(static_cast<uint16_t>(h + 1)));
    const auto middle = static_cast<float>((low + high) / 2);
    EXPECT_EQ(float_to_half(middle), h % 2 == 0 ? h : h + 1) << h;
    EXPECT_EQ(float_to_half(std::nextafter(middle, 0.0f)), h) << h;
    EXPECT_EQ(float_to_half(std::nextafter(middle, 1e9f)), h + 1) << h;
    EXPECT_EQ(float_to_half(-middle), 0x8000u + (h % 2 == 0 ? h : h + 1)) << h;
  }
}

TEST(Half, KnownValues) {
  EXPECT_EQ(half_to_float(0x3C00), 1.0f);
  EXPECT_EQ(half_to_float(0xC000), -2.0f);
  EXPECT_EQ(half_to_float(0x7BFF), 65504.0f);
  EXPECT_EQ(half_to_float(0x0001), 0x1p-24f);
  EXPECT_EQ(float_to_half(65519.996f), 0x7BFF);
  EXPECT_EQ(float_to_half(65520.0f), 0x7C00);
  EXPECT_EQ(float_to_half(-std::numeric_limits<float>::infinity()), 0xFC00);
  EXPECT_EQ(float_to_bfloat16(1.0f), 0x3F80);
  EXPECT_EQ(float_to_bfloat16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_EQ(float_to_bfloat16(1.00390625f), 0x3F80);  // half way, even below
  EXPECT_EQ(float_to_bfloat16(1.01171875f), 0x3F82);  // half way, even above
}

}  // namespace
}  // namespace vitrail
