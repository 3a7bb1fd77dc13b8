// SPDX-License-Identifier: Apache-2.0
// Weights that lie beside the model (https://onnx.ai/onnx/repo-docs/ExternalData.html).
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "core/mapped_file.h"
#include "onnx/onnx.pb.h"
#include "vitrail/status.h"

namespace vitrail::onnx_import {

struct Bytes {
  const void* data = nullptr;
  size_t size = 0;
  std::shared_ptr<const void> owner;
};

// Finds and maps the files; each is mapped once. May be used by several threads.
class ExternalData {
 public:
  // Locations are relative to `folder` and may not leave it.
  explicit ExternalData(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // The bytes of a tensor that must have `size` of them.
  Result<Bytes> find(const onnx::TensorProto& tensor, size_t size);

 private:
  Result<std::shared_ptr<const MappedFile>> map(const std::string& location);

  std::filesystem::path folder_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const MappedFile>> files_;
};

}  // namespace vitrail::onnx_import
