// SPDX-License-Identifier: Apache-2.0
#include "vitrail/tensor.h"

#include <sys/mman.h>

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

constexpr std::array<DTypeRow, 15> kDTypes{{
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
    {DType::kF8E4M3, "float8_e4m3fn", 1},
    {DType::kF8E5M2, "float8_e5m2", 1},
}};

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;

// Pages of 2 MiB where the system gives them: a fault for each 4 KiB takes longer than filling them. Zero as they come.
std::shared_ptr<const void> huge_pages(size_t size) {
  void* p = ::mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  auto* aligned = static_cast<std::byte*>(p) + (kHugePage - reinterpret_cast<uintptr_t>(p) % kHugePage) % kHugePage;
  (void)::madvise(aligned, size, MADV_HUGEPAGE);  // only advice
  return {aligned, [p, size](const void*) { ::munmap(p, size + kHugePage); }};
}

std::shared_ptr<const void> zeros(size_t size) {
  if (size >= 2 * kHugePage) return huge_pages(size);
  void* p = ::operator new (size, std::align_val_t{kAlignment});
  std::memset(p, 0, size);
  return {p, [](const void* q) { ::operator delete (const_cast<void*>(q), std::align_val_t{kAlignment}); }};
}

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
  data_ = zeros(bytes() ? bytes() : 1);
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
