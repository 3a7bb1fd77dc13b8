// SPDX-License-Identifier: Apache-2.0
#include "engine/hash.h"

#include <xxhash.h>

#include "core/error.h"
#include "core/mapped_file.h"

namespace vitrail {

Hash128 hash_bytes(ByteSpan bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

std::string to_string(Hash128 hash) { return fmt::format("{:016x}{:016x}", hash.high, hash.low); }

Result<std::string> hash_file(const std::string& path) {
  VTL_ASSIGN(const auto file, MappedFile::open(path));
  return to_string(hash_bytes({file->data(), file->size()}));
}

}  // namespace vitrail
