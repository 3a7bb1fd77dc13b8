// SPDX-License-Identifier: Apache-2.0
// tests/cli/test_quantized_operators.py compares with ml_dtypes; here are the codes by the formats' definition.
#include "core/float8.h"

#include <gtest/gtest.h>

#include <limits>

namespace vitrail {
namespace {

struct Format {
  DType dtype;
  int mantissa, bias, largest;
};
const Format kFormats[] = {{DType::kF8E4M3, 3, 7, 0x7E}, {DType::kF8E5M2, 2, 15, 0x7B}};

// ±(1 + m/2^M) · 2^(e − bias), subnormal ±m/2^M · 2^(1 − bias).
double defined(int code, const Format& f) {
  const int exponent = (code & 0x7F) >> f.mantissa, mantissa = code & ((1 << f.mantissa) - 1);
  const double fraction = static_cast<double>(mantissa) / (1 << f.mantissa);
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, 1 - f.bias) : std::ldexp(1 + fraction, exponent - f.bias);
  return code & 0x80 ? -magnitude : magnitude;
}

TEST(Float8, EveryCodeThereAndBack) {
  for (const Format& f : kFormats)
    for (int code = 0; code < 256; ++code) {
      const float x = float8_to_float(static_cast<uint8_t>(code), f.dtype);
      if ((code & 0x7F) <= f.largest) {
        EXPECT_EQ(x, defined(code, f)) << code;
        EXPECT_EQ(std::signbit(x), (code & 0x80) != 0) << code;
        EXPECT_EQ(float_to_float8(x, f.dtype), code);
        EXPECT_EQ(float_to_float8(x, f.dtype, false), code);
      } else if (f.dtype == DType::kF8E5M2 && (code & 0x7F) == 0x7C) {
        EXPECT_TRUE(std::isinf(x)) << code;
      } else {
        EXPECT_TRUE(std::isnan(x)) << code;
        EXPECT_TRUE(std::isnan(float8_to_float(float_to_float8(x, f.dtype), f.dtype)));
      }
    }
}

// Half way between two numbers to the even code, a hair off to the nearer one.
TEST(Float8, RoundsToNearestEven) {
  for (const Format& f : kFormats)
    for (int code = 0; code < f.largest; ++code) {
      const auto low = static_cast<float>(defined(code, f)), high = static_cast<float>(defined(code + 1, f));
      const float middle = (low + high) / 2, inf = std::numeric_limits<float>::infinity();
      EXPECT_EQ(float_to_float8(middle, f.dtype), code + code % 2) << code;
      EXPECT_EQ(float_to_float8(std::nextafter(middle, 0.0f), f.dtype), code) << code;
      EXPECT_EQ(float_to_float8(std::nextafter(middle, inf), f.dtype), code + 1) << code;
      EXPECT_EQ(float_to_float8(-middle, f.dtype), 0x80 + code + code % 2) << code;
    }
}

TEST(Float8, WhatIsTooLarge) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(float_to_e4m3(464.0f, false), 0x7E);  // a tie, to 448
  EXPECT_EQ(float_to_e4m3(464.1f, false), 0x7F);
  EXPECT_EQ(float_to_e4m3(1e30f), 0x7E);
  EXPECT_EQ(float_to_e4m3(-inf), 0xFE);
  EXPECT_EQ(float_to_e4m3(-inf, false), 0xFF);
  EXPECT_EQ(float_to_e5m2(61439.0f, false), 0x7B);
  EXPECT_EQ(float_to_e5m2(61440.0f, false), 0x7C);  // a tie, to what would be 65536
  EXPECT_EQ(float_to_e5m2(61440.0f), 0x7B);
  EXPECT_EQ(float_to_e5m2(-inf), 0xFB);
  EXPECT_EQ(float_to_e5m2(inf, false), 0x7C);
  EXPECT_EQ(float_to_e4m3(std::numeric_limits<float>::denorm_min()), 0);
}

}  // namespace
}  // namespace vitrail
