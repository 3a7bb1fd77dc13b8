// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/table.h"
#include "cpu/kernel_testing.h"

namespace vitrail::cpu {
namespace {

class KernelIsaTest : public KernelTest {};
VTL_FOR_EVERY_ISA(KernelIsaTest);

TEST_P(KernelIsaTest, AForcedInstructionSetIsTheOneThatRuns) {
  const int width = GetParam() >= Isa::kAvx512 ? 16 : GetParam() >= Isa::kAvx2 ? 8 : 1;
  EXPECT_EQ(isa_of(kernels()), GetParam());
  EXPECT_EQ(probe_vector_width(kernels()), width);
  const Result<Isa> named = isa_from_name(isa_name(GetParam()));
  ASSERT_TRUE(named.ok());
  EXPECT_EQ(*named, GetParam());
}

TEST(Isa, TheBestIsSupportedAndTheDefault) {
  EXPECT_TRUE(isa_supported(best_isa()));
  EXPECT_EQ(*isa_from_name(""), best_isa());
  for (const Isa isa : all_isas()) EXPECT_TRUE(!isa_supported(isa) || isa <= best_isa());
}

TEST(Isa, UnknownNamesAreUsageErrorsThatNameTheChoices) {
  for (const char* name : {"sse", "AVX2", "avx", " "}) {
    const Result<Isa> isa = isa_from_name(name);
    ASSERT_FALSE(isa.ok()) << name;
    EXPECT_EQ(isa.status().code(), Code::kUsage);
    EXPECT_NE(isa.status().message().find("scalar, avx2, avxvnni, avx512, avx512vnni or avx512amx"),
              std::string::npos);
  }
}

TEST(Isa, UnsupportedNamesAreUnavailable) {
  for (const Isa isa : all_isas()) {
    if (isa_supported(isa)) continue;
    const Result<Isa> named = isa_from_name(isa_name(isa));
    ASSERT_FALSE(named.ok());
    EXPECT_EQ(named.status().code(), Code::kUnavailable);
  }
}

TEST(FmaPeak, IsAPlausibleRate) {
  const double one = measure_fma_peak_gflops(1);  // of one core
  EXPECT_GT(one, 0.1);
  EXPECT_LT(one, 2000.0);
}

TEST(BytePeak, LoopsDoTheProductsTheyCount) {
  for (const Isa isa : all_isas()) {
    if (!isa_supported(isa)) continue;
    SCOPED_TRACE(isa_name(isa));
    const IntegerKernels& kernels = kernels_for(isa).integers;
    int64_t one = 0, three = 0;
    const int32_t sum = kernels.product_loop(1, &one);  // of ones, so of as many as K has
    EXPECT_EQ(one, 2 * int64_t{sum} * kernels.block * kernels.strip);
    EXPECT_EQ(kernels.product_loop(3, &three), sum);
    EXPECT_EQ(three, 3 * one);
  }
  const double peak = measure_byte_peak_gops(1);
  EXPECT_GT(peak, 0.1);
  EXPECT_LT(peak, 20000.0);
}

}  // namespace
}  // namespace vitrail::cpu
