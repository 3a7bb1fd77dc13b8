// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "core/files.h"
#include "vitrail/status.h"

namespace vitrail {

// XXH3-128 (https://xxhash.com), which finds accidental changes, not forgeries.
struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const Hash128&) const = default;
};

Hash128 hash_bytes(ByteSpan bytes);
std::string to_string(Hash128 hash);  // 32 hex digits, as `xxhsum -H128` prints them

// XXH3-128 of a file's bytes in hex. kIo when it cannot be read.
Result<std::string> hash_file(const std::string& path);

}  // namespace vitrail
