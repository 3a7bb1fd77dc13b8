// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrail/status.h"

namespace vitrail {

// Element types, with the names of NumPy. kUndefined marks a value whose type is not known yet.
enum class DType : uint8_t {
  kUndefined,
  kF32,
  kF64,
  kF16,
  kBF16,
  kI8,
  kU8,
  kI16,
  kU16,
  kI32,
  kU32,
  kI64,
  kU64,
  kBool,
  kF8E4M3,  // 4 bits of exponent, 3 of mantissa, no infinities
  kF8E5M2,
};

size_t dtype_size(DType dtype);                // bytes of one element; 0 for kUndefined
std::string_view dtype_name(DType dtype);      // "float32", "int64", …
DType dtype_from_name(std::string_view name);  // kUndefined when the name is not known

// Extents, outermost first. A scalar has no extents.
using Shape = std::vector<int64_t>;

int64_t element_count(const Shape& shape);  // product of the extents; 1 for a scalar
std::string to_string(const Shape& shape);  // "[2,3,224,224]"

// A contiguous row-major array that somebody else owns.
struct TensorView {
  DType dtype = DType::kUndefined;
  Shape shape;
  const void* data = nullptr;

  int64_t count() const { return element_count(shape); }
  size_t bytes() const { return static_cast<size_t>(count()) * dtype_size(dtype); }
  template <class T>
  std::span<const T> as() const {
    return {static_cast<const T*>(data), static_cast<size_t>(count())};
  }
};

// As TensorView, writable.
struct MutableTensorView {
  DType dtype = DType::kUndefined;
  Shape shape;
  void* data = nullptr;

  int64_t count() const { return element_count(shape); }
  size_t bytes() const { return static_cast<size_t>(count()) * dtype_size(dtype); }
  template <class T>
  std::span<T> as() const {
    return {static_cast<T*>(data), static_cast<size_t>(count())};
  }
  operator TensorView() const { return {dtype, shape, data}; }
};

// A contiguous row-major array and its storage. Copies share the storage (as NumPy arrays do); clone() does
// not.
class Tensor {
 public:
  Tensor() = default;
  // Zero-filled storage, aligned to 64 bytes. Throws std::bad_alloc only.
  Tensor(DType dtype, Shape shape);
  // Storage kept alive by `owner` (a memory map, a protobuf message); `data` must hold the whole tensor.
  Tensor(DType dtype, Shape shape, const void* data, std::shared_ptr<const void> owner);

  template <class T>
  static Tensor from(DType dtype, Shape shape, std::span<const T> values);
  static Tensor f32(Shape shape, const std::vector<float>& values);
  static Tensor i64(Shape shape, const std::vector<int64_t>& values);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t dim(size_t axis) const { return shape_[axis]; }
  size_t rank() const { return shape_.size(); }
  int64_t count() const { return element_count(shape_); }
  size_t bytes() const { return static_cast<size_t>(count()) * dtype_size(dtype_); }
  bool empty() const { return data_ == nullptr; }

  const void* data() const { return data_.get(); }
  void* mutable_data() { return const_cast<void*>(data_.get()); }  // only for tensors that own their storage
  template <class T>
  std::span<const T> as() const {
    return {static_cast<const T*>(data()), static_cast<size_t>(count())};
  }
  template <class T>
  std::span<T> as_mutable() {
    return {static_cast<T*>(mutable_data()), static_cast<size_t>(count())};
  }

  TensorView view() const { return {dtype_, shape_, data()}; }
  MutableTensorView mutable_view() { return {dtype_, shape_, mutable_data()}; }
  Tensor reshaped(Shape shape) const;  // the same storage under another shape of the same element count
  Tensor clone() const;

 private:
  DType dtype_ = DType::kUndefined;
  Shape shape_;
  std::shared_ptr<const void> data_;
};

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

template <class T>
Tensor Tensor::from(DType dtype, Shape shape, std::span<const T> values) {
  Tensor t(dtype, std::move(shape));
  auto out = t.as_mutable<T>();
  for (size_t i = 0; i < out.size() && i < values.size(); ++i) out[i] = values[i];
  return t;
}

}  // namespace vitrail
