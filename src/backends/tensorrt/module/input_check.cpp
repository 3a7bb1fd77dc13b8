// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/input_check.h"

#include <optional>

#include "backends/cuda/kernels/finite.h"

namespace vitrail::tensorrt {
namespace {

std::optional<cuda::Type> float_type(DType dtype) {
  if (dtype == DType::kF32) return cuda::Type::kF32;
  if (dtype == DType::kF16) return cuda::Type::kF16;
  return dtype == DType::kBF16 ? std::optional(cuda::Type::kBF16) : std::nullopt;
}

bool is_integer(DType dtype) {
  return dtype == DType::kU8 || dtype == DType::kI8 || dtype == DType::kI32 || dtype == DType::kI64 ||
         dtype == DType::kBool;
}

}  // namespace

bool can_check(DType dtype) { return is_integer(dtype) || float_type(dtype).has_value(); }

cudaError_t queue_check(const void* data, DType dtype, int64_t count, int* flag, cudaStream_t stream) {
  const auto type = float_type(dtype);
  return type ? cuda::launch_find_non_finite(data, *type, count, flag, stream, false) : cudaSuccess;
}

}  // namespace vitrail::tensorrt
