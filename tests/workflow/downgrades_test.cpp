// SPDX-License-Identifier: Apache-2.0
#include "workflow/downgrades.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitrail {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

LayerReport layer(std::string name, std::string op, std::string kernel, std::string precision,
                  std::vector<Refusal> refused = {}) {
  return {std::move(name),      std::move(op),      "block.0", std::move(kernel),
          std::move(precision), std::move(refused), 0};
}

TEST(Downgrades, SaysNothingWhenEveryProductGotWhatWasAsked) {
  EngineInfo info;
  info.precision = "fp16";
  info.layers = {layer("qkv", "Linear", "cublaslt", "fp16"), layer("fc", "Linear", "gemm", "float16"),
                 layer("norm", "LayerNormalization", "layer_norm", "fp32")};
  EXPECT_THAT(downgrades(info), IsEmpty());
  info.precision = "fp32";
  info.layers = {layer("qkv", "Linear", "gemm_f32", "float32")};
  EXPECT_THAT(downgrades(info), IsEmpty());
  info.precision = "tf32";
  EXPECT_THAT(downgrades(info), IsEmpty());
  info.precision = "fp8";
  info.layers = {layer("qkv", "Linear", "gemm_wgmma", "float8_e4m3")};
  EXPECT_THAT(downgrades(info), IsEmpty());
}

TEST(Downgrades, CountsProductsOfAnotherPrecisionAndNamesTheFirstReason) {
  EngineInfo info;
  info.precision = "fp8";
  info.layers = {layer("a.qkv", "Linear", "lt", "fp8"),
                 layer("a.proj", "Linear", "lt", "fp16", {{"lt_fp8", "K is 100, not a multiple of 16"}}),
                 layer("b.proj", "Linear", "lt", "fp16"),
                 layer("a.attn", "MultiHeadAttention", "flash", "fp16")};
  EXPECT_THAT(downgrades(info),
              ElementsAre(AllOf(HasSubstr("2 of 3 Linear layers compute in fp16, not in fp8"),
                                HasSubstr("a.proj"), HasSubstr("K is 100")),
                          AllOf(HasSubstr("1 of 1 MultiHeadAttention"), HasSubstr("a.attn"))));
}

TEST(Downgrades, NamesLayersThatRunOnTheHost) {
  EngineInfo info;
  info.precision = "fp16";
  info.layers = {layer("up", "Resize", "host", "fp32", {{"cuda", "no kernel for Resize"}})};
  EXPECT_THAT(downgrades(info), ElementsAre(AllOf(HasSubstr("1 of 1 Resize layers run on the host"),
                                                  HasSubstr("no kernel for Resize"))));
}

Graph with_zero_points(std::vector<Tensor> zeros) {
  Graph g;
  const ValueId x = g.add_value({"x", DType::kF32, SymShape{Dim::batch()}, {}, {}});
  for (Tensor& zero : zeros) {
    const ValueId scale = g.add_constant("scale", Tensor::f32({}, {0.5f})), z = g.add_constant("zero", zero);
    const ValueId y = g.add_value({"y", zero.dtype(), SymShape{Dim::batch()}, {}, {}});
    g.nodes.push_back({Op::QuantizeLinear, "q", {x, scale, z}, {y}, {}, ""});
  }
  return g;
}

Tensor zero_point(DType dtype, int value) {
  Tensor t(dtype, {});
  if (dtype == DType::kU8)
    t.as_mutable<uint8_t>()[0] = static_cast<uint8_t>(value);
  else
    t.as_mutable<int8_t>()[0] = static_cast<int8_t>(value);
  return t;
}

TEST(Downgrades, RangesThatWidenAreCounted) {
  EXPECT_FALSE(widened_ranges(with_zero_points({zero_point(DType::kI8, 0), zero_point(DType::kU8, 128)})));
  const auto some = widened_ranges(with_zero_points({zero_point(DType::kU8, 0), zero_point(DType::kI8, 0), zero_point(DType::kI8, 27)}));
  ASSERT_TRUE(some);
  EXPECT_THAT(*some, AllOf(HasSubstr("2 of 3 8-bit ranges"), HasSubstr("2.01 times"), HasSubstr("--symmetric")));
}

}  // namespace
}  // namespace vitrail
