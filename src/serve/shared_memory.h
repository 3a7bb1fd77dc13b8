// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "core/files.h"
#include "serve/fault.h"

namespace vitrail::serve {

struct RegionInfo {
  std::string name, key;
  uint64_t offset = 0, byte_size = 0;
};

// A part of a region, as a request names it.
struct RegionPart {
  std::string region;
  uint64_t offset = 0, byte_size = 0;
};

// System shared memory that clients registered (shm_open names). Read and written, never mapped: a client that shrinks
// its memory while the server reads it gets an error, where a mapping would end the process. All members may be called
// from several threads.
class SharedMemory {
 public:
  // kInvalid: the name is taken, the key is no name of shared memory, or the memory is smaller.
  Fault add(const RegionInfo& region);
  // An empty name: all of them. What runs keeps its region. No error for a name that is not there.
  void remove(const std::string& name);
  // An empty name: all of them, in order.
  Reply<std::vector<RegionInfo>> list(const std::string& name) const;

  // A copy of its bytes. kInvalid when there is no such region, the part does not lie in it, or the memory has shrunk.
  Reply<std::shared_ptr<const std::string>> read(const RegionPart& part) const;
  // `bytes` must fit into the part.
  Fault write(const RegionPart& part, std::span<const std::byte> bytes) const;

 private:
  struct Region {
    RegionInfo info;
    std::shared_ptr<FileDescriptor> memory;
  };
  Reply<Region> find(const RegionPart& part) const;

  mutable std::mutex mutex_;
  std::map<std::string, Region> regions_;
};

}  // namespace vitrail::serve
