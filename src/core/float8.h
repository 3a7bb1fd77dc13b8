// SPDX-License-Identifier: Apache-2.0
// The two 8-bit float formats of "FP8 Formats for Deep Learning" (arXiv:2209.05433), converted in software. E4M3 has
// no infinities, one NaN of each sign and 448 as its largest number; E5M2 is the upper half of a binary16, its largest
// number 57344. Narrowing rounds to nearest even; what is too large, infinity included, becomes the largest number
// where it saturates, else NaN (E4M3) or infinity (E5M2).
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "core/half.h"
#include "vitrail/tensor.h"

namespace vitrail {

inline bool is_float8(DType dtype) { return dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2; }

inline float e5m2_to_float(uint8_t b) { return half_to_float(static_cast<uint16_t>(b << 8)); }

inline float e4m3_to_float(uint8_t b) {
  const uint32_t sign = static_cast<uint32_t>(b & 0x80u) << 24;
  const uint32_t exponent = (b >> 3) & 0xFu, mantissa = b & 7u;
  if ((b & 0x7F) == 0x7F) return std::bit_cast<float>(sign | 0x7FC00000u);
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 120) << 23) | (mantissa << 20));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-9f;  // subnormal or zero, exact
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
}

// `largest` is the code of the largest number, `beyond` that of what is larger, `nan` that of NaN; all without sign.
inline uint8_t float_to_float8(float f, int mantissa_bits, int bias, int largest, int beyond, int nan, bool saturate) {
  const int sign = std::signbit(f) ? 0x80 : 0;
  if (std::isnan(f)) return static_cast<uint8_t>(sign | nan);
  if (std::isinf(f)) return static_cast<uint8_t>(sign | (saturate ? largest : beyond));
  const float magnitude = std::abs(f);
  const int exponent = std::max(magnitude == 0 ? -bias : std::ilogb(magnitude), 1 - bias);
  // In units of the last place, whose power of two divides exactly. A carry runs on into the exponent.
  const auto units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, mantissa_bits - exponent)));
  const int code = ((exponent + bias) << mantissa_bits) + units - (1 << mantissa_bits);
  if (code > largest) return static_cast<uint8_t>(sign | (saturate ? largest : beyond));
  return static_cast<uint8_t>(sign | code);
}

inline uint8_t float_to_e4m3(float f, bool saturate = true) {
  return float_to_float8(f, 3, 7, 0x7E, 0x7F, 0x7F, saturate);
}
inline uint8_t float_to_e5m2(float f, bool saturate = true) {
  return float_to_float8(f, 2, 15, 0x7B, 0x7C, 0x7E, saturate);
}

// Of one of the two types.
inline float float8_to_float(uint8_t b, DType from) {
  return from == DType::kF8E4M3 ? e4m3_to_float(b) : e5m2_to_float(b);
}
inline uint8_t float_to_float8(float f, DType to, bool saturate = true) {
  return to == DType::kF8E4M3 ? float_to_e4m3(f, saturate) : float_to_e5m2(f, saturate);
}

}  // namespace vitrail
