// SPDX-License-Identifier: Apache-2.0
#include "core/mapped_file.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/files.h"

namespace vitrail {

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::string& path) {
  VTL_ASSIGN(const OpenFile file, open_regular_file(path));
  if (file.size == 0) return std::make_shared<const MappedFile>(nullptr, 0);
  void* data = ::mmap(nullptr, file.size, PROT_READ, MAP_PRIVATE, file.fd.get(), 0);
  if (data == MAP_FAILED)
    return io_error("{}: cannot map its {} bytes into memory: {}", path, file.size, std::strerror(errno));
  return std::make_shared<const MappedFile>(static_cast<const std::byte*>(data), file.size);
}

MappedFile::~MappedFile() {
  if (size_) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace vitrail
