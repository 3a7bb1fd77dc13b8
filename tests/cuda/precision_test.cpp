// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/precision.h"

#include <cuda_fp8.h>
#include <gtest/gtest.h>

#include <cmath>

namespace vitrail::cuda {
namespace {

TEST(Precision, E4M3IsCudas) {
  for (int i = -60000; i <= 60000; ++i) {
    const float v = static_cast<float>(i) * 0.0093f * std::exp2(static_cast<float>(i % 23) - 14.0f);
    EXPECT_EQ(to_e4m3(v), __nv_cvt_float_to_fp8(v, __NV_SATFINITE, __NV_E4M3)) << v;
  }
  for (int bits = 0; bits < 256; ++bits) {
    if ((bits & 0x7F) == 0x7F) continue;
    EXPECT_EQ(to_e4m3(from_e4m3(static_cast<uint8_t>(bits))), bits);
  }
}

TEST(Precision, SaysWhatADeviceLacks) {
  const Device turing{"T4", 75, 40, 0, 13000, 13000}, ampere{"A100", 80, 108, 0, 13000, 13000},
      hopper{"H100", 90, 132, 0, 13000, 13000};
  EXPECT_TRUE(parse_precision("fp16", turing).ok());
  EXPECT_EQ(parse_precision("bf16", turing).status().code(), Code::kUnavailable);
  EXPECT_EQ(parse_precision("tf32", turing).status().code(), Code::kUnavailable);
  EXPECT_EQ(parse_precision("fp8", ampere).status().code(), Code::kUnavailable);
  EXPECT_EQ(parse_precision("int8", ampere).status().code(), Code::kUnavailable);
  for (const char* name : {"fp32", "tf32", "fp16", "bf16", "fp8", "int8"})
    EXPECT_TRUE(parse_precision(name, hopper).ok()) << name;
  EXPECT_EQ(parse_precision("fp4", hopper).status().code(), Code::kUsage);
}

}  // namespace
}  // namespace vitrail::cuda
