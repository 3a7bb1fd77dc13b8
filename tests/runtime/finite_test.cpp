// SPDX-License-Identifier: Apache-2.0
#include "runtime/finite.h"

#include <gtest/gtest.h>

#include <limits>

namespace vitrail {
namespace {

template <class T>
void check(DType dtype, T zero, T largest, std::initializer_list<T> bad) {
  for (T value : bad) {
    // Both sides of a block's border, the first and the last.
    for (size_t at : {size_t{0}, size_t{4095}, size_t{4096}, size_t{9999}}) {
      std::vector<T> data(10000, largest);
      data[1] = zero;
      EXPECT_EQ(find_non_finite({dtype, {10000}, data.data()}).count, 0);
      data[at] = value;
      data[9999] = value;
      const NonFinite found = find_non_finite({dtype, {100, 100}, data.data()});
      EXPECT_EQ(found.count, at == 9999 ? 1 : 2) << dtype_name(dtype);
      EXPECT_EQ(found.first, static_cast<int64_t>(at)) << dtype_name(dtype);
    }
    std::vector<T> all(10000, value);
    EXPECT_EQ(find_non_finite({dtype, {10000}, all.data()}).count, 10000);
  }
}

TEST(Finite, EveryFloatType) {
  using F = std::numeric_limits<float>;
  using D = std::numeric_limits<double>;
  check<float>(DType::kF32, 0, F::lowest(),
               {F::infinity(), -F::infinity(), F::quiet_NaN(), F::signaling_NaN()});
  check<double>(DType::kF64, 0, D::max(), {D::infinity(), -D::infinity(), D::quiet_NaN()});
  check<uint16_t>(DType::kF16, 0, 0x7BFF, {0x7C00, 0xFC00, 0x7E00, 0x7C01});
  check<uint16_t>(DType::kBF16, 0, 0x7F7F, {0x7F80, 0xFF80, 0x7FC0, 0x7F81});
}

TEST(Finite, IntegersAndEmptyTensorsAreFinite) {
  const int32_t ones[2] = {-1, 0x7F800000};
  EXPECT_EQ(find_non_finite({DType::kI32, {2}, ones}).count, 0);
  EXPECT_EQ(find_non_finite({DType::kF32, {0}, nullptr}).count, 0);
}

}  // namespace
}  // namespace vitrail
