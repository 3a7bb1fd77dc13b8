// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/weights_check.h"

#include <algorithm>

#include "core/error.h"

namespace vitrail::onnx_import {
namespace {

// A float is NaN or infinite when all bits of its exponent are set. Blocks of a constant length let the
// compiler vectorise the loop at -O2; 22 M floats take a few milliseconds.
template <class Bits>
int64_t count_full_exponents(std::span<const Bits> values, Bits exponent) {
  constexpr size_t kBlock = sizeof(Bits) == 1 ? 128 : 1024;
  int64_t total = 0;
  size_t i = 0;
  for (; i + kBlock <= values.size(); i += kBlock) {
    Bits found = 0;  // at most kBlock, fits every type used
    for (size_t j = 0; j < kBlock; ++j)
      found = static_cast<Bits>(found + static_cast<Bits>((values[i + j] & exponent) == exponent));
    total += static_cast<int64_t>(found);
  }
  for (; i < values.size(); ++i) total += (values[i] & exponent) == exponent;
  return total;
}

}  // namespace

int64_t count_nonfinite(const TensorView& tensor) {
  switch (tensor.dtype) {
    case DType::kF32:
      return count_full_exponents<uint32_t>(tensor.as<uint32_t>(), 0x7f800000u);
    case DType::kF64:
      return count_full_exponents<uint64_t>(tensor.as<uint64_t>(), 0x7ff0000000000000u);
    case DType::kF16:
      return count_full_exponents<uint16_t>(tensor.as<uint16_t>(), 0x7c00u);
    case DType::kBF16:
      return count_full_exponents<uint16_t>(tensor.as<uint16_t>(), 0x7f80u);
    case DType::kF8E4M3:
      return count_full_exponents<uint8_t>(tensor.as<uint8_t>(), 0x7fu);  // NaN alone: all bits but the sign
    case DType::kF8E5M2:
      return count_full_exponents<uint8_t>(tensor.as<uint8_t>(), 0x7cu);
    default:
      return 0;
  }
}

int64_t nonfinite_weights(const Tensor& tensor) {
  return tensor.count() <= 1 ? 0 : count_nonfinite(tensor.view());
}

void warn_of_nonfinite(const std::string& first, ImportReport& report) {
  if (report.nonfinite_weights)
    report.warnings.push_back(
        fmt::format("{} weights are NaN or infinite, the first in '{}': the outputs will be too",
                    report.nonfinite_weights, first));
}

}  // namespace vitrail::onnx_import
