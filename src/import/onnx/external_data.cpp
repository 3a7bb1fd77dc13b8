// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/external_data.h"

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/parse_number.h"

namespace vitrail::onnx_import {
namespace {

namespace fs = std::filesystem;

bool is_inside(const fs::path& folder, const fs::path& file) {
  return std::mismatch(folder.begin(), folder.end(), file.begin(), file.end()).first == folder.end();
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> ExternalData::map(const std::string& location) {
  const std::lock_guard lock(mutex_);
  if (const auto found = files_.find(location); found != files_.end()) return found->second;
  const fs::path relative(location);
  if (location.empty() || location.find('\0') != std::string::npos || relative.is_absolute() ||
      std::find(relative.begin(), relative.end(), "..") != relative.end())
    return bad_input("its external data is at '{}', which is not a path inside the model's folder", location);
  std::error_code error;
  const fs::path folder = fs::canonical(folder_.empty() ? "." : folder_, error);
  if (error) return io_error("{}: {}", folder_.string(), error.message());
  const fs::path file = fs::canonical(folder / relative, error);
  if (error)
    return io_error("its external data '{}' cannot be read: {}; the file belongs beside the model, in {}",
                    location, error.message(), folder.string());
  if (!is_inside(folder, file))
    return bad_input(
        "its external data '{}' is a link that leads out of the model's folder, to {}: put the file itself "
        "beside the "
        "model",
        location, file.string());
  VTL_ASSIGN(auto mapped, MappedFile::open(file.string()));
  return files_[location] = mapped;
}

Result<Bytes> ExternalData::find(const onnx::TensorProto& tensor, size_t size) {
  std::string location;
  uint64_t offset = 0;
  uint64_t length = size;
  for (const auto& entry : tensor.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() != "offset" && entry.key() != "length") continue;
    if (!parse_number(entry.value(), entry.key() == "offset" ? offset : length))
      return bad_input("the {} of its external data is '{}', not a number", entry.key(), entry.value());
  }
  if (length != size)
    return bad_input("its external data has {} bytes, but its shape and type need {}", length, size);
  VTL_ASSIGN(const auto file, map(location));
  if (offset > file->size() || length > file->size() - offset)
    return bad_input(
        "its external data is {} bytes from byte {} of '{}', which ends at {}: the file is cut off", length,
        offset, location, file->size());
  if (size == 0) return Bytes{};
  return Bytes{file->data() + offset, size, file};
}

}  // namespace vitrail::onnx_import
