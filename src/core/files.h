// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "vitrail/status.h"

namespace vitrail {

// An open file descriptor, closed at the end of its life.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor();
  int get() const { return fd_; }

 private:
  int fd_;
};

struct OpenFile {
  FileDescriptor fd;
  size_t size;  // bytes
};

// Opens a regular file for reading. kIo when it is missing, a folder, a device, a pipe (never waits) or
// unreadable.
Result<OpenFile> open_regular_file(const std::string& path);

// The whole content of a regular file; kBadInput when it is larger than max_bytes.
Result<std::string> read_file(const std::string& path, size_t max_bytes);

// Writes the parts one after the other to a temporary file beside `path`, syncs and renames it, so that no
// reader sees half a file and a failure (full disk, read-only folder) leaves the old one and nothing else. A
// symbolic link is followed; a device or pipe (/dev/stdout) is written in place.
using ByteSpan = std::span<const std::byte>;
Status write_file_atomically(const std::string& path, std::span<const ByteSpan> parts);
Status write_file_atomically(const std::string& path, std::string_view text);

}  // namespace vitrail
