// SPDX-License-Identifier: Apache-2.0
#include "runtime/finite.h"

#include <algorithm>
#include <bit>

namespace vitrail {
namespace {

// A float is not finite when all bits of its exponent are set. Counted by blocks with narrow counters, so
// that the compiler vectorises the loop at full width.
template <class T, class Bits>
NonFinite scan(const TensorView& tensor, Bits exponent) {
  const auto values = tensor.as<T>();
  auto bad = [&](T v) { return (std::bit_cast<Bits>(v) & exponent) == exponent; };
  constexpr size_t kBlock = 4096;
  NonFinite found;
  for (size_t begin = 0; begin < values.size(); begin += kBlock) {
    const auto block = values.subspan(begin, std::min(kBlock, values.size() - begin));
    Bits count = 0;
    for (T v : block) count = static_cast<Bits>(count + (bad(v) ? 1 : 0));
    if (count && found.first < 0)
      found.first =
          static_cast<int64_t>(begin) + (std::find_if(block.begin(), block.end(), bad) - block.begin());
    found.count += static_cast<int64_t>(count);
  }
  return found;
}

}  // namespace

NonFinite find_non_finite(const TensorView& tensor) {
  switch (tensor.dtype) {
    case DType::kF32:
      return scan<float, uint32_t>(tensor, 0x7F800000u);
    case DType::kF64:
      return scan<double, uint64_t>(tensor, 0x7FF0000000000000u);
    case DType::kF16:
      return scan<uint16_t, uint16_t>(tensor, 0x7C00u);
    case DType::kBF16:
      return scan<uint16_t, uint16_t>(tensor, 0x7F80u);
    default:
      return {};
  }
}

}  // namespace vitrail
