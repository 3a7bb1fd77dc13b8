// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/tensor_reader.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace vitrail::onnx_import {
namespace {

struct TypeRow {
  int32_t onnx;
  std::string_view name;
  DType dtype;
};

// TensorProto.DataType up to ONNX 1.19; the numbers and not the enumerators, as the system's schema may be
// older.
constexpr TypeRow kTypes[] = {
    {1, "float32", DType::kF32},
    {2, "uint8", DType::kU8},
    {3, "int8", DType::kI8},
    {4, "uint16", DType::kU16},
    {5, "int16", DType::kI16},
    {6, "int32", DType::kI32},
    {7, "int64", DType::kI64},
    {8, "string", DType::kUndefined},
    {9, "bool", DType::kBool},
    {10, "float16", DType::kF16},
    {11, "float64", DType::kF64},
    {12, "uint32", DType::kU32},
    {13, "uint64", DType::kU64},
    {14, "complex64", DType::kUndefined},
    {15, "complex128", DType::kUndefined},
    {16, "bfloat16", DType::kBF16},
    {17, "float8e4m3fn", DType::kF8E4M3},
    {18, "float8e4m3fnuz", DType::kUndefined},
    {19, "float8e5m2", DType::kF8E5M2},
    {20, "float8e5m2fnuz", DType::kUndefined},
    {21, "uint4", DType::kUndefined},
    {22, "int4", DType::kUndefined},
    {23, "float4e2m1", DType::kUndefined},
    {24, "float8e8m0", DType::kUndefined},
};

const TypeRow* find_type(int32_t type) {
  const auto* row = std::ranges::find(kTypes, type, &TypeRow::onnx);
  return row == std::end(kTypes) ? nullptr : row;
}

// Whether an element takes less than a byte.
bool holds_few_bits(int32_t type) {
  const TypeRow* row = find_type(type);
  const std::string_view name = row ? row->name : "";
  return name.ends_with("int4") || name.starts_with("float4");
}

// The extents, once it is certain that the tensor's bytes can be counted in an int64.
Result<Shape> read_shape(const onnx::TensorProto& proto, size_t element_size) {
  Shape shape(proto.dims().begin(), proto.dims().end());
  auto bytes = static_cast<int64_t>(element_size);
  for (int64_t extent : shape)
    if (extent < 0 || __builtin_mul_overflow(bytes, std::max<int64_t>(extent, 1), &bytes))
      return bad_input("its shape {} is not possible", to_string(shape));
  return shape;
}

bool is_aligned(const void* data, size_t alignment) {
  return reinterpret_cast<uintptr_t>(data) % alignment == 0;
}

// A byte other than 0 and 1 must not be read as a C++ bool.
bool is_clean_bool(const Bytes& bytes) {
  const auto* first = static_cast<const uint8_t*>(bytes.data);
  return std::all_of(first, first + bytes.size, [](uint8_t b) { return b <= 1; });
}

Tensor from_bytes(DType dtype, const Shape& shape, const Bytes& bytes) {
  if (bytes.size == 0) return Tensor(dtype, shape);
  const bool usable =
      is_aligned(bytes.data, dtype_size(dtype)) && (dtype != DType::kBool || is_clean_bool(bytes));
  if (usable) return Tensor(dtype, shape, bytes.data, bytes.owner);
  Tensor copy(dtype, shape);
  std::memcpy(copy.mutable_data(), bytes.data, bytes.size);
  if (dtype == DType::kBool)
    for (uint8_t& b : copy.as_mutable<uint8_t>()) b = b != 0;
  return copy;
}

// Typed fields hold small types in wider elements: 16-bit floats as their bits in an int32, for example.
template <class Narrow, class Wide>
Result<Tensor> narrowed(DType dtype, const Shape& shape, const Wide& field) {
  if (field.size() != element_count(shape))
    return bad_input("has {} elements, but its shape {} needs {}", field.size(), to_string(shape),
                     element_count(shape));
  Tensor tensor(dtype, shape);
  std::ranges::transform(field, tensor.as_mutable<Narrow>().begin(), [dtype](auto v) {
    return dtype == DType::kBool ? static_cast<Narrow>(v != 0) : static_cast<Narrow>(v);
  });
  return tensor;
}

template <class Field>
Result<Tensor> shared(DType dtype, const Shape& shape, const Field& field, const ModelPtr& model) {
  if (field.size() != element_count(shape))
    return bad_input("has {} elements, but its shape {} needs {}", field.size(), to_string(shape),
                     element_count(shape));
  return from_bytes(dtype, shape,
                    {field.data(), static_cast<size_t>(field.size()) * dtype_size(dtype), model});
}

Result<Tensor> from_fields(DType dtype, const Shape& shape, const onnx::TensorProto& proto,
                           const ModelPtr& model) {
  switch (dtype) {
    case DType::kF32:
      return shared(dtype, shape, proto.float_data(), model);
    case DType::kF64:
      return shared(dtype, shape, proto.double_data(), model);
    case DType::kI32:
      return shared(dtype, shape, proto.int32_data(), model);
    case DType::kI64:
      return shared(dtype, shape, proto.int64_data(), model);
    case DType::kU64:
      return shared(dtype, shape, proto.uint64_data(), model);
    case DType::kU32:
      return narrowed<uint32_t>(dtype, shape, proto.uint64_data());
    case DType::kI16:
      return narrowed<int16_t>(dtype, shape, proto.int32_data());
    case DType::kU16:
    case DType::kF16:
    case DType::kBF16:
      return narrowed<uint16_t>(dtype, shape, proto.int32_data());
    case DType::kI8:
      return narrowed<int8_t>(dtype, shape, proto.int32_data());
    case DType::kU8:
    case DType::kBool:
    case DType::kF8E4M3:
    case DType::kF8E5M2:
      return narrowed<uint8_t>(dtype, shape, proto.int32_data());
    case DType::kUndefined:
      break;
  }
  return internal_error("{} has no field in TensorProto", dtype_name(dtype));
}

}  // namespace

DType dtype_from_onnx(int32_t type) {
  const TypeRow* row = find_type(type);
  return row ? row->dtype : DType::kUndefined;
}

int32_t dtype_to_onnx(DType dtype) {
  if (dtype == DType::kUndefined) return 0;
  const auto* row = std::ranges::find(kTypes, dtype, &TypeRow::dtype);
  return row == std::end(kTypes) ? 0 : row->onnx;
}

std::string onnx_type_name(int32_t type) {
  const TypeRow* row = find_type(type);
  return row ? std::string(row->name) : fmt::format("data type {}", type);
}

Result<Tensor> TensorReader::read(const onnx::TensorProto& proto) {
  const DType dtype = dtype_from_onnx(proto.data_type());
  if (dtype == DType::kUndefined)
    return bad_input("its element type is {}, which Vitrail does not have: {}", onnx_type_name(proto.data_type()),
                     holds_few_bits(proto.data_type())
                         ? "quantize the weights to 8 bits instead (int8, or float8e4m3fn)"
                         : "export the model in float32 or float16");
  if (proto.has_segment())
    return bad_input("it is stored in segments, which nothing writes: export the model again");
  VTL_ASSIGN(const Shape shape, read_shape(proto, dtype_size(dtype)));
  const size_t size = static_cast<size_t>(element_count(shape)) * dtype_size(dtype);
  if (proto.data_location() == onnx::TensorProto::EXTERNAL) {
    VTL_ASSIGN(const Bytes bytes, external_.find(proto, size));
    return from_bytes(dtype, shape, bytes);
  }
  std::string_view raw = proto.raw_data();
  if (model_)
    if (const auto left_out = model_->raw_data.find(&proto); left_out != model_->raw_data.end()) raw = left_out->second;
  if (raw.empty()) return from_fields(dtype, shape, proto, model_);
  if (raw.size() != size)
    return bad_input("has {} bytes, but its shape {} of {} needs {}", raw.size(), to_string(shape),
                     dtype_name(dtype), size);
  return from_bytes(dtype, shape, {raw.data(), size, model_});
}

}  // namespace vitrail::onnx_import
