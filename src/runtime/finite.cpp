// SPDX-License-Identifier: Apache-2.0
#include "runtime/finite.h"

#include <algorithm>
#include <cstring>

namespace vitrail {
namespace {

// A float is not finite when all bits of its exponent are set. Counted by blocks with narrow counters, so
// that the compiler vectorises the loop at full width; read byte by byte, so that any alignment will do.
template <class Bits>
NonFinite scan(const TensorView& tensor, Bits exponent) {
  const auto* data = static_cast<const std::byte*>(tensor.data);
  const auto size = static_cast<size_t>(tensor.count());
  const auto bad = [&](size_t i) {
    Bits bits;
    std::memcpy(&bits, data + i * sizeof bits, sizeof bits);
    return (bits & exponent) == exponent;
  };
  constexpr size_t kBlock = 4096;
  NonFinite found;
  for (size_t begin = 0; begin < size; begin += kBlock) {
    const size_t end = std::min(begin + kBlock, size);
    Bits count = 0;
    for (size_t i = begin; i < end; ++i) count = static_cast<Bits>(count + (bad(i) ? 1 : 0));
    if (count && found.first < 0) {
      size_t first = begin;
      while (!bad(first)) ++first;
      found.first = static_cast<int64_t>(first);
    }
    found.count += static_cast<int64_t>(count);
  }
  return found;
}

}  // namespace

NonFinite find_non_finite(const TensorView& tensor) {
  switch (tensor.dtype) {
    case DType::kF32:
      return scan<uint32_t>(tensor, 0x7F800000u);
    case DType::kF64:
      return scan<uint64_t>(tensor, 0x7FF0000000000000u);
    case DType::kF16:
      return scan<uint16_t>(tensor, 0x7C00u);
    case DType::kBF16:
      return scan<uint16_t>(tensor, 0x7F80u);
    default:
      return {};
  }
}

}  // namespace vitrail
