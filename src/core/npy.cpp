// SPDX-License-Identifier: Apache-2.0
#include "core/npy.h"

#include <cstring>
#include <new>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "core/float8.h"
#include "core/mapped_file.h"
#include "core/npy_header.h"
#include "core/zip.h"

namespace vitrail {
namespace {

// Copies an array whose first axis is the fastest into one whose last axis is.
void from_fortran_order(const std::byte* in, Tensor& out) {
  const Shape& shape = out.shape();
  const size_t size = dtype_size(out.dtype());
  std::vector<int64_t> index(shape.size(), 0), stride(shape.size(), 1);
  for (size_t a = 1; a < shape.size(); ++a) stride[a] = stride[a - 1] * shape[a - 1];
  auto* to = static_cast<std::byte*>(out.mutable_data());
  int64_t from = 0;
  for (int64_t n = out.count(); n > 0; --n, to += size) {
    std::memcpy(to, in + from * size, size);
    for (size_t a = shape.size(); a-- > 0;) {
      from += stride[a];
      if (++index[a] < shape[a]) break;
      from -= stride[a] * shape[a];
      index[a] = 0;
    }
  }
}

Result<std::string> header_of(const TensorView& tensor) {
  constexpr size_t kMaxRank = 64;  // NumPy's
  if (tensor.shape.size() > kMaxRank)
    return usage_error("an array of {} axes; NumPy has at most {}", tensor.shape.size(), kMaxRank);
  for (int64_t d : tensor.shape)
    if (d < 0) return usage_error("cannot save a tensor of shape {}", to_string(tensor.shape));
  if (tensor.dtype == DType::kBF16 || is_float8(tensor.dtype))
    return usage_error("NumPy has no {}: cast the tensor to float32 before saving it", dtype_name(tensor.dtype));
  if (dtype_size(tensor.dtype) == 0) return usage_error("cannot save a tensor of unknown type");
  return write_npy_header(tensor.dtype, tensor.shape);
}

ByteSpan bytes_of(const TensorView& t) { return {static_cast<const std::byte*>(t.data), t.bytes()}; }

template <class T, class Parse>
Result<T> load(const std::string& path, Parse parse) {
  VTL_ASSIGN(const auto file, MappedFile::open(path));
  Result<T> parsed = parse({file->data(), file->size()});
  if (!parsed.ok()) return parsed.status().with_context(path);
  return parsed;
}

}  // namespace

Result<Tensor> parse_npy(std::span<const std::byte> file) try {
  VTL_ASSIGN(const NpyHeader header, parse_npy_header(file));
  const std::span<const std::byte> data = file.subspan(header.data_offset);
  // parse_npy_header has made sure that the product does not overflow.
  const size_t needed = static_cast<size_t>(element_count(header.shape)) * dtype_size(header.dtype);
  if (data.size() != needed)
    return bad_input("the .npy header says {} {} = {} bytes, but {} bytes follow it",
                     dtype_name(header.dtype), to_string(header.shape), needed, data.size());
  Tensor tensor(header.dtype, header.shape);
  if (header.fortran_order)
    from_fortran_order(data.data(), tensor);
  else if (needed > 0)
    std::memcpy(tensor.mutable_data(), data.data(), needed);
  if (header.dtype == DType::kBool)  // any other byte would be undefined behaviour as a bool
    for (uint8_t& b : tensor.as_mutable<uint8_t>()) b = b != 0;
  return tensor;
} catch (const std::bad_alloc&) {
  return resource_error("not enough memory for an array of {} bytes", file.size());
}

Result<Tensor> load_npy(const std::string& path) { return load<Tensor>(path, parse_npy); }

Status save_npy(const std::string& path, const TensorView& tensor) {
  auto header = header_of(tensor);
  if (!header.ok()) return header.status().with_context(path);
  const ByteSpan parts[] = {std::as_bytes(std::span(*header)), bytes_of(tensor)};
  return write_file_atomically(path, parts);
}

Result<std::vector<NamedTensor>> parse_npz(std::span<const std::byte> file) try {
  VTL_ASSIGN(const auto entries, zip_entries(file));
  std::vector<NamedTensor> tensors;
  for (const ZipEntry& entry : entries) {
    constexpr std::string_view kSuffix = ".npy";
    if (!entry.name.ends_with(kSuffix))
      return bad_input("entry \"{}\" of the archive is not an array (its name does not end in .npy)",
                       entry.name);
    std::vector<std::byte> storage;
    auto content = unzip(entry, storage);
    auto tensor = content.ok() ? parse_npy(*content) : Result<Tensor>(content.status());
    if (!tensor.ok()) return tensor.status().with_context(fmt::format("entry \"{}\"", entry.name));
    tensors.push_back({entry.name.substr(0, entry.name.size() - kSuffix.size()), std::move(tensor).value()});
  }
  return tensors;
} catch (const std::bad_alloc&) {
  return resource_error("not enough memory for the arrays of the archive");
}

Result<std::vector<NamedTensor>> load_npz(const std::string& path) {
  return load<std::vector<NamedTensor>>(path, parse_npz);
}

Status save_npz(const std::string& path, std::span<const NamedTensor> tensors) {
  std::set<std::string_view> names;
  std::vector<ZipInput> inputs;
  for (const auto& [name, tensor] : tensors) {
    if (name.empty() || !names.insert(name).second)
      return usage_error("{}: the array name \"{}\" is empty or used twice", path, name);
    auto header = header_of(tensor.view());
    if (!header.ok()) return header.status().with_context(fmt::format("{}: array \"{}\"", path, name));
    inputs.push_back({name + ".npy", std::move(header).value(), bytes_of(tensor.view())});
  }
  return write_zip(path, inputs);
}

}  // namespace vitrail
