// SPDX-License-Identifier: Apache-2.0
// As much of the ZIP format (PKWARE APPNOTE 6.3) as .npz archives use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vitrail/status.h"

namespace vitrail {

struct ZipEntry {
  std::string name;
  bool deflated = false;
  uint32_t crc = 0;   // of the unpacked bytes
  uint64_t size = 0;  // unpacked; at most what `packed` can hold
  std::span<const std::byte> packed;
};

// The directory of an archive, ZIP64 included; spans point into `file`. kBadInput when it is damaged,
// encrypted or compressed otherwise than by deflate. The entries' packed bytes together are no more than the
// file.
Result<std::vector<ZipEntry>> zip_entries(std::span<const std::byte> file);

// The bytes of one entry, checksum verified: in `file` itself when stored, in `storage` when deflated.
Result<std::span<const std::byte>> unzip(const ZipEntry& entry, std::vector<std::byte>& storage);

struct ZipInput {
  std::string name;
  std::string head;  // the entry is head followed by body
  std::span<const std::byte> body;
};

// Writes an archive of stored entries, dated 1980-01-01 so that equal content gives equal bytes. kUsage from
// 4 GiB on.
Status write_zip(const std::string& path, std::span<const ZipInput> inputs);

}  // namespace vitrail
