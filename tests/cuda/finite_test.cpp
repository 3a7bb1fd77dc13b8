// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/finite.h"

#include "cuda/device_buffer.h"

namespace vitrail::cuda {
namespace {

struct FiniteKernel : CudaTest {};

int found(Type type, const std::vector<double>& values, size_t offset) {
  const DeviceTensor x(type, values, offset);
  const DeviceBuffer flag(std::vector<uint8_t>(sizeof(int)));
  EXPECT_EQ(launch_find_non_finite(x.get(), type, static_cast<int64_t>(values.size()), flag.get<int>(), nullptr, false),
            cudaSuccess);
  int set = 0;
  std::memcpy(&set, flag.download().data(), sizeof(set));
  return set;
}

TEST_F(FiniteKernel, SeesOneOfMany) {
  for (Type type : {Type::kF32, Type::kF16, Type::kBF16})
    for (int64_t count : {1, 7, 8, 2048, 150528, 150529})
      for (size_t offset : {0, 1}) {
        std::vector<double> values = random_values(count, 5);
        values[0] = type == Type::kF16 ? 65504 : 3.3e38;  // large is not infinite
        EXPECT_EQ(found(type, values, offset), 0) << count;
        for (double bad : {double{NAN}, double{INFINITY}, -double{INFINITY}}) {
          std::vector<double> one = values;
          one[one.size() * 2 / 3] = bad;
          EXPECT_EQ(found(type, one, offset), 1) << count << " with " << bad;
        }
        values.back() = INFINITY;
        EXPECT_EQ(found(type, values, offset), 1) << "the last of " << count;
      }
}

TEST_F(FiniteKernel, RefusesIntegers) {
  EXPECT_NE(launch_find_non_finite(nullptr, Type::kU8, 8, nullptr, nullptr, false), cudaSuccess);
  EXPECT_EQ(launch_find_non_finite(nullptr, Type::kF32, 0, nullptr, nullptr, false), cudaSuccess);
}

}  // namespace
}  // namespace vitrail::cuda
