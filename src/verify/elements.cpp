// SPDX-License-Identifier: Apache-2.0
#include "verify/elements.h"

#include "core/error.h"
#include "core/float8.h"
#include "core/half.h"

namespace vitrail {
namespace {

template <class T, class F>
std::vector<double> convert(const TensorView& tensor, F&& to_double) {
  std::vector<double> out;
  const auto values = tensor.as<T>();
  out.reserve(values.size());
  for (const T& v : values) out.push_back(to_double(v));
  return out;
}

template <class T>
std::vector<double> convert(const TensorView& tensor) {
  return convert<T>(tensor, [](T v) { return static_cast<double>(v); });
}

}  // namespace

Result<std::vector<double>> elements(const TensorView& tensor) {
  switch (tensor.dtype) {
    case DType::kF32:
      return convert<float>(tensor);
    case DType::kF64:
      return convert<double>(tensor);
    case DType::kF16:
      return convert<uint16_t>(tensor, half_to_float);
    case DType::kBF16:
      return convert<uint16_t>(tensor, bfloat16_to_float);
    case DType::kF8E4M3:
      return convert<uint8_t>(tensor, e4m3_to_float);
    case DType::kF8E5M2:
      return convert<uint8_t>(tensor, e5m2_to_float);
    case DType::kI8:
      return convert<int8_t>(tensor);
    case DType::kU8:
      return convert<uint8_t>(tensor);
    case DType::kBool:
      return convert<uint8_t>(tensor);
    case DType::kI16:
      return convert<int16_t>(tensor);
    case DType::kU16:
      return convert<uint16_t>(tensor);
    case DType::kI32:
      return convert<int32_t>(tensor);
    case DType::kU32:
      return convert<uint32_t>(tensor);
    case DType::kI64:
      return convert<int64_t>(tensor);
    case DType::kU64:
      return convert<uint64_t>(tensor);
    case DType::kUndefined:
      break;
  }
  return bad_input("a tensor of undefined type cannot be compared");
}

}  // namespace vitrail
