// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "vitrail/status.h"

namespace vitrail {

// A regular file as read-only memory. Pages are read when they are touched; tensors that point into the map
// keep it alive through the shared pointer.
class MappedFile {
 public:
  // kIo when the file is missing, a folder, a device or unreadable. An empty file maps to size 0.
  static Result<std::shared_ptr<const MappedFile>> open(const std::string& path);

  MappedFile(const std::byte* data, size_t size) : data_(data), size_(size) {}
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }  // page-aligned; nullptr when size() is 0
  size_t size() const { return size_; }

 private:
  const std::byte* data_;
  size_t size_;
};

}  // namespace vitrail
