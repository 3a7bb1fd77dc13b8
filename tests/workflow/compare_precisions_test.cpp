// SPDX-License-Identifier: Apache-2.0
#include "workflow/compare_precisions.h"

#include <gtest/gtest.h>

#include "../passes/graph_builder.h"
#include "backends/cpu/backend.h"

namespace vitrail::testing {
namespace {

// Two products of one shape and one of another, as the CPU backend compiles them.
Graph compiled() {
  GraphBuilder b;
  ValueId x = b.input("x", {kN, 5_d, 64_d}, DType::kU8);
  for (int64_t n : {48, 48, 32}) {
    Tensor scale(DType::kF32, {n});
    for (float& v : scale.as_mutable<float>()) v = 0x1p-9f;
    b.output(b.node(Op::QuantizedLinear, {x, b.constant(Tensor(DType::kI8, {64, n})), b.constant(scale)},
                    {{"x_scale", 0.5f}, {"x_zero_point", int64_t{128}}}));
  }
  EXPECT_TRUE(infer_shapes(b.graph).ok());
  EXPECT_TRUE(make_cpu_backend()->compile(b.graph, {}).ok());
  return b.graph;
}

TEST(ComparePrecisions, EveryProductIsTimedBothWays) {
  for (cpu::Isa isa : cpu::all_isas()) {
    if (!cpu::isa_supported(isa)) continue;
    const PrecisionTimes times = time_products(compiled(), 8, 2, isa);
    EXPECT_EQ(times.products, 3);
    EXPECT_EQ(times.batch, 8);
    EXPECT_EQ(times.isa, cpu::isa_name(isa));
    EXPECT_GT(times.int8_us, 0);
    EXPECT_GT(times.fp32_us, 0);
  }
  EXPECT_EQ(time_products(compiled(), 1000, 1, cpu::best_isa()).batch, 102) << "512 rows of 5 an image";
}

TEST(ComparePrecisions, NothingIsSaidWhereIntegersPay) {
  EXPECT_FALSE(int8_is_not_faster({3, 100, 200, 8, 2, "avx512vnni"}));
  EXPECT_FALSE(int8_is_not_faster({0, 0, 0, 8, 2, "avx512vnni"}));
}

TEST(ComparePrecisions, ElseTheSentenceHasTheNumbersAndTheWayOut) {
  for (const double int8 : {2000.0, 2500.0, 1990.0}) {  // 0.5 % faster is not worth its error
    const auto text = int8_is_not_faster({49, int8, 2000, 2, 4, "avx2"});
    ASSERT_TRUE(text) << int8;
    for (const char* part : {"not faster than fp32", "avx2", "49 products", "batch 2", "4 threads",
                             "2.00 ms in fp32", "--precision fp32"})
      EXPECT_NE(text->find(part), std::string::npos) << *text;
  }
}

}  // namespace
}  // namespace vitrail::testing
