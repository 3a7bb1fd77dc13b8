// SPDX-License-Identifier: Apache-2.0
#include "core/datatype.h"

#include <utility>

namespace vitrail {
namespace {

constexpr std::pair<DType, std::string_view> kNames[] = {
    {DType::kF32, "FP32"},  {DType::kF64, "FP64"},   {DType::kF16, "FP16"}, {DType::kBF16, "BF16"},
    {DType::kI8, "INT8"},   {DType::kI16, "INT16"},  {DType::kI32, "INT32"}, {DType::kI64, "INT64"},
    {DType::kU8, "UINT8"},  {DType::kU16, "UINT16"}, {DType::kU32, "UINT32"}, {DType::kU64, "UINT64"},
    {DType::kBool, "BOOL"},
};

}  // namespace

std::string_view datatype_name(DType dtype) {
  for (const auto& [type, name] : kNames)
    if (type == dtype) return name;
  return "";
}

DType datatype_from_name(std::string_view name) {
  for (const auto& [type, known] : kNames)
    if (known == name) return type;
  return DType::kUndefined;
}

}  // namespace vitrail
