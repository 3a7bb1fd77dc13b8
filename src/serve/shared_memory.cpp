// SPDX-License-Identifier: Apache-2.0
#include "serve/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vitrail::serve {
namespace {

constexpr size_t kMaxRegions = 1024;
constexpr uint64_t kMaxPart = uint64_t{1} << 31;  // bytes of one tensor

uint64_t size_of(int fd) {
  struct stat s {};
  return ::fstat(fd, &s) == 0 && s.st_size > 0 ? static_cast<uint64_t>(s.st_size) : 0;
}

// Repeats `move(done)` until all `size` bytes are through; false when no more come.
template <class F>
bool move_all(size_t size, F&& move) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = move(done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

Fault SharedMemory::add(const RegionInfo& region) {
  const std::string& key = region.key;
  if (region.name.empty()) return {Cause::kInvalid, "a region of shared memory needs a name"};
  if (key.size() < 2 || key[0] != '/' || key.find('/', 1) != std::string::npos || key == "/." || key == "/..")
    return fault(Cause::kInvalid, "shared memory key '{}': it must be a slash and a name", key);
  if (region.byte_size == 0) return fault(Cause::kInvalid, "region '{}' has no bytes", region.name);
  auto memory = std::make_shared<FileDescriptor>(::shm_open(key.c_str(), O_RDWR | O_CLOEXEC, 0));
  if (memory->get() < 0) return fault(Cause::kInvalid, "shared memory key '{}': {}", key, std::strerror(errno));
  const uint64_t size = size_of(memory->get());
  if (region.offset > size || region.byte_size > size - region.offset)
    return fault(Cause::kInvalid, "region '{}': {} bytes at {} of shared memory '{}', which has {}", region.name,
                 region.byte_size, region.offset, key, size);
  const std::lock_guard lock(mutex_);
  if (regions_.size() >= kMaxRegions) return fault(Cause::kInvalid, "there are {} regions already", kMaxRegions);
  if (!regions_.try_emplace(region.name, Region{region, std::move(memory)}).second)
    return fault(Cause::kInvalid, "region '{}' is registered already", region.name);
  return {};
}

void SharedMemory::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (name.empty())
    regions_.clear();
  else
    regions_.erase(name);
}

Reply<std::vector<RegionInfo>> SharedMemory::list(const std::string& name) const {
  std::vector<RegionInfo> out;
  const std::lock_guard lock(mutex_);
  for (const auto& [known, region] : regions_)
    if (name.empty() || known == name) out.push_back(region.info);
  if (out.empty() && !name.empty()) return fault(Cause::kNotFound, "no region '{}' is registered", name);
  return out;
}

Reply<SharedMemory::Region> SharedMemory::find(const RegionPart& part) const {
  const std::lock_guard lock(mutex_);
  const auto it = regions_.find(part.region);
  if (it == regions_.end()) return fault(Cause::kInvalid, "no region '{}' of shared memory is registered", part.region);
  const RegionInfo& info = it->second.info;
  if (part.byte_size > kMaxPart || part.offset > info.byte_size || part.byte_size > info.byte_size - part.offset)
    return fault(Cause::kInvalid, "{} bytes at {} of region '{}', which has {}", part.byte_size, part.offset,
                 part.region, info.byte_size);
  return it->second;
}

Reply<std::shared_ptr<const std::string>> SharedMemory::read(const RegionPart& part) const {
  const auto region = find(part);
  if (!region.ok()) return region.fault();
  auto bytes = std::make_shared<std::string>(static_cast<size_t>(part.byte_size), '\0');
  const bool all = move_all(bytes->size(), [&](size_t done) {
    return ::pread(region->memory->get(), bytes->data() + done, bytes->size() - done,
                   static_cast<off_t>(region->info.offset + part.offset + done));
  });
  if (!all) return fault(Cause::kInvalid, "region '{}': its shared memory has shrunk", part.region);
  return std::shared_ptr<const std::string>(std::move(bytes));
}

Fault SharedMemory::write(const RegionPart& part, std::span<const std::byte> bytes) const {
  const auto region = find(part);
  if (!region.ok()) return region.fault();
  if (bytes.size() > part.byte_size)
    return fault(Cause::kInvalid, "an output of {} bytes does not fit into {} bytes of region '{}'", bytes.size(),
                 part.byte_size, part.region);
  const int fd = region->memory->get();
  const uint64_t at = region->info.offset + part.offset;
  // Writing behind the end would make it longer.
  const bool all = at + bytes.size() <= size_of(fd) && move_all(bytes.size(), [&](size_t done) {
                     return ::pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(at + done));
                   });
  if (!all) return fault(Cause::kInvalid, "region '{}': its shared memory has shrunk or is full", part.region);
  return {};
}

}  // namespace vitrail::serve
