// SPDX-License-Identifier: Apache-2.0
#include "core/zip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "core/files.h"

namespace vitrail {
namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr uint64_t kSaturated32 = 0xffffffff;

uint32_t crc_of(uint32_t crc, Bytes bytes) {
  return static_cast<uint32_t>(crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

// A little-endian number; the caller has checked that it lies inside.
uint64_t number(Bytes bytes, size_t at, size_t size) {
  uint64_t v = 0;
  for (size_t i = size; i-- > 0;) v = v << 8 | std::to_integer<uint64_t>(bytes[at + i]);
  return v;
}

bool has(Bytes file, uint64_t at, uint64_t size) { return at <= file.size() && size <= file.size() - at; }
bool has_record(Bytes file, uint64_t at, uint64_t size, uint32_t signature) {
  return has(file, at, size) && number(file, at, 4) == signature;
}

struct Directory {
  uint64_t offset, entries;
};

// The end record is the last thing of the file but for a comment of at most 65535 bytes.
Result<Directory> find_directory(Bytes file) {
  constexpr uint64_t kEndBytes = 22, kLocatorBytes = 20, kEnd64Bytes = 56;
  const Status damaged = bad_input("not a ZIP archive, or cut off: its directory is missing");
  for (uint64_t back = kEndBytes; back <= std::min<uint64_t>(file.size(), kEndBytes + 65535); ++back) {
    const uint64_t at = file.size() - back;
    if (!has_record(file, at, kEndBytes, kEnd) || number(file, at + 20, 2) != back - kEndBytes) continue;
    Directory directory{number(file, at + 16, 4), number(file, at + 10, 2)};
    if (at >= kLocatorBytes && has_record(file, at - kLocatorBytes, kLocatorBytes, kLocator64)) {
      const uint64_t end64 = number(file, at - kLocatorBytes + 8, 8);
      if (!has_record(file, end64, kEnd64Bytes, kEnd64)) return damaged;
      directory = {number(file, end64 + 48, 8), number(file, end64 + 32, 8)};
    }
    return directory;
  }
  return damaged;
}

// Sizes that did not fit 32 bits stand in the ZIP64 extra field, in this order.
void read_extra64(Bytes extra, uint64_t& size, uint64_t& packed, uint64_t& offset) {
  while (extra.size() >= 4) {
    const uint64_t id = number(extra, 0, 2);
    const uint64_t length = std::min<uint64_t>(number(extra, 2, 2), extra.size() - 4);
    Bytes field = extra.subspan(4, length);
    for (uint64_t* value : {&size, &packed, &offset})
      if (id == 1 && *value == kSaturated32 && field.size() >= 8) {
        *value = number(field, 0, 8);
        field = field.subspan(8);
      }
    extra = extra.subspan(4 + length);
  }
}

Status check_entry(const ZipEntry& entry, uint64_t flags, uint64_t method) {
  if ((flags & 1) != 0) return bad_input("entry \"{}\" of the archive is encrypted", entry.name);
  if (method != 0 && method != 8)
    return bad_input("entry \"{}\" of the archive has compression method {}; stored and deflated are known",
                     entry.name, method);
  // Deflate expands a byte to at most 1032, so a small file cannot ask for a large buffer.
  const bool plausible =
      entry.deflated ? entry.size / 1032 <= entry.packed.size() : entry.size == entry.packed.size();
  if (!plausible)
    return bad_input("entry \"{}\" of the archive claims {} bytes from {}", entry.name, entry.size,
                     entry.packed.size());
  return {};
}

}  // namespace

Result<std::vector<ZipEntry>> zip_entries(Bytes file) {
  constexpr uint64_t kCentralBytes = 46, kLocalBytes = 30;
  VTL_ASSIGN(const Directory directory, find_directory(file));
  const Status damaged = bad_input("the directory of the ZIP archive is damaged");
  std::vector<ZipEntry> entries;
  uint64_t at = directory.offset, packed_total = 0;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    if (!has_record(file, at, kCentralBytes, kCentral)) return damaged;
    const uint64_t flags = number(file, at + 8, 2), method = number(file, at + 10, 2);
    const uint64_t name_bytes = number(file, at + 28, 2), extra_bytes = number(file, at + 30, 2);
    const uint64_t comment_bytes = number(file, at + 32, 2);
    uint64_t packed = number(file, at + 20, 4), size = number(file, at + 24, 4),
             local = number(file, at + 42, 4);
    if (!has(file, at + kCentralBytes, name_bytes + extra_bytes + comment_bytes)) return damaged;
    const Bytes name = file.subspan(at + kCentralBytes, name_bytes);
    read_extra64(file.subspan(at + kCentralBytes + name_bytes, extra_bytes), size, packed, local);

    if (!has_record(file, local, kLocalBytes, kLocal)) return damaged;
    const uint64_t data = local + kLocalBytes + number(file, local + 26, 2) + number(file, local + 28, 2);
    if (!has(file, data, packed) || (packed_total += packed) > file.size()) return damaged;
    ZipEntry entry{std::string(reinterpret_cast<const char*>(name.data()), name.size()), method == 8,
                   static_cast<uint32_t>(number(file, at + 16, 4)), size, file.subspan(data, packed)};
    VTL_TRY(check_entry(entry, flags, method));
    entries.push_back(std::move(entry));
    at += kCentralBytes + name_bytes + extra_bytes + comment_bytes;
  }
  return entries;
}

Result<Bytes> unzip(const ZipEntry& entry, std::vector<std::byte>& storage) {
  Bytes content = entry.packed;
  if (entry.deflated) {
    storage.resize(entry.size);
    z_stream z{};
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK) return resource_error("zlib could not start");  // raw deflate
    Bytes in = entry.packed;
    std::span<std::byte> out = storage;
    int state = Z_OK;
    // zlib counts in 32 bits, so large entries go in portions.
    constexpr size_t kPortion = size_t{1} << 30;
    do {
      const size_t give = std::min(in.size(), kPortion), room = std::min(out.size(), kPortion);
      z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
      z.avail_in = static_cast<uInt>(give);
      z.next_out = reinterpret_cast<Bytef*>(out.data());
      z.avail_out = static_cast<uInt>(room);
      state = inflate(&z, Z_NO_FLUSH);
      in = in.subspan(give - z.avail_in);
      out = out.subspan(room - z.avail_out);
    } while (state == Z_OK);  // without progress it is Z_BUF_ERROR
    inflateEnd(&z);
    if (state != Z_STREAM_END || !out.empty()) return bad_input("the compressed data is damaged");
    content = storage;
  }
  if (crc_of(0, content) != entry.crc) return bad_input("the checksum does not match: the data is damaged");
  return content;
}

Status write_zip(const std::string& path, std::span<const ZipInput> inputs) {
  auto put = [](std::string& to, uint64_t value, int size) {
    for (int i = 0; i < size; ++i) to += static_cast<char>(value >> (8 * i) & 0xff);
  };
  std::vector<std::string> heads;  // local record and head of each entry
  std::string directory;
  uint64_t offset = 0;
  for (const ZipInput& input : inputs) {
    const uint64_t size = input.head.size() + input.body.size();
    std::string common;  // the fields that both records share, from "version needed" to "extra length"
    put(common, 20, 2);
    put(common, 0x0800, 2);  // names are UTF-8
    put(common, 0, 2);       // stored
    put(common, 0x00210000, 4);
    put(common, crc_of(crc_of(0, std::as_bytes(std::span(input.head))), input.body), 4);
    put(common, size, 4);
    put(common, size, 4);
    put(common, input.name.size(), 2);
    put(common, 0, 2);

    std::string local;
    put(local, kLocal, 4);
    local += common + input.name;
    put(directory, kCentral, 4);
    put(directory, 20, 2);  // version made by
    directory += common;
    directory.append(10, '\0');  // no comment, disk 0, no attributes
    put(directory, offset, 4);
    directory += input.name;
    offset += local.size() + size;
    heads.push_back(local + input.head);
  }
  if (offset + directory.size() >= kSaturated32 || inputs.size() >= 0xffff)
    return usage_error("{}: {} arrays of {} bytes are too much for one .npz (4 GiB): save each as .npy", path,
                       inputs.size(), offset);
  std::string end;
  put(end, kEnd, 4);
  put(end, 0, 4);  // disks
  put(end, inputs.size(), 2);
  put(end, inputs.size(), 2);
  put(end, directory.size(), 4);
  put(end, offset, 4);
  put(end, 0, 2);

  std::vector<Bytes> parts;
  for (size_t i = 0; i < inputs.size(); ++i) {
    parts.push_back(std::as_bytes(std::span(heads[i])));
    parts.push_back(inputs[i].body);
  }
  parts.push_back(std::as_bytes(std::span(directory)));
  parts.push_back(std::as_bytes(std::span(end)));
  return write_file_atomically(path, parts);
}

}  // namespace vitrail
