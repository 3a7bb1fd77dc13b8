// SPDX-License-Identifier: Apache-2.0
#include "vitrail/tensor.h"

#include <array>
#include <cstring>
#include <new>

namespace vitrail {
namespace {

struct DTypeRow {
  DType dtype;
  std::string_view name;
  size_t size;
};

constexpr std::array<DTypeRow, 13> kDTypes{{
    {DType::kF32, "float32", 4},
    {DType::kF64, "float64", 8},
    {DType::kF16, "float16", 2},
    {DType::kBF16, "bfloat16", 2},
    {DType::kI8, "int8", 1},
    {DType::kU8, "uint8", 1},
    {DType::kI16, "int16", 2},
    {DType::kU16, "uint16", 2},
    {DType::kI32, "int32", 4},
    {DType::kU32, "uint32", 4},
    {DType::kI64, "int64", 8},
    {DType::kU64, "uint64", 8},
    {DType::kBool, "bool", 1},
}};

constexpr size_t kAlignment = 64;

}  // namespace

size_t dtype_size(DType dtype) {
  for (const auto& row : kDTypes)
    if (row.dtype == dtype) return row.size;
  return 0;
}

std::string_view dtype_name(DType dtype) {
  for (const auto& row : kDTypes)
    if (row.dtype == dtype) return row.name;
  return "undefined";
}

DType dtype_from_name(std::string_view name) {
  for (const auto& row : kDTypes)
    if (row.name == name) return row.dtype;
  return DType::kUndefined;
}

int64_t element_count(const Shape& shape) {
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  return n;
}

std::string to_string(const Shape& shape) {
  std::string s = "[";
  for (size_t i = 0; i < shape.size(); ++i) s += (i ? "," : "") + std::to_string(shape[i]);
  return s + "]";
}

Tensor::Tensor(DType dtype, Shape shape) : dtype_(dtype), shape_(std::move(shape)) {
  const size_t size = bytes() ? bytes() : 1;
  void* p = ::operator new (size, std::align_val_t{kAlignment});
  std::memset(p, 0, size);
  data_ = std::shared_ptr<const void>(
      p, [](const void* q) { ::operator delete (const_cast<void*>(q), std::align_val_t{kAlignment}); });
}

Tensor::Tensor(DType dtype, Shape shape, const void* data, std::shared_ptr<const void> owner)
    : dtype_(dtype), shape_(std::move(shape)), data_(std::move(owner), data) {}

Tensor Tensor::f32(Shape shape, const std::vector<float>& values) {
  return from<float>(DType::kF32, std::move(shape), values);
}

Tensor Tensor::i64(Shape shape, const std::vector<int64_t>& values) {
  return from<int64_t>(DType::kI64, std::move(shape), values);
}

Tensor Tensor::reshaped(Shape shape) const {
  Tensor t = *this;
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::clone() const {
  Tensor t(dtype_, shape_);
  if (bytes()) std::memcpy(t.mutable_data(), data(), bytes());
  return t;
}

}  // namespace vitrail
