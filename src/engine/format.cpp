// SPDX-License-Identifier: Apache-2.0
#include "engine/format.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <system_error>

#include "core/error.h"
#include "core/thread_pool.h"

namespace vitrail {
namespace {

constexpr const char* kRebuild = "copy the file again, or rebuild it with `vitrail build`";
constexpr uint64_t kFixedHeaderBytes = sizeof(FileHeader) + sizeof(Hash128);

SegmentKind kind_of(size_t index, size_t count) {
  if (index == 0) return SegmentKind::kMetadata;
  if (index == 1) return SegmentKind::kGraph;
  return index + 1 == count ? SegmentKind::kCertificate : SegmentKind::kTensor;
}

bool all_zero(ByteSpan bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

Status check_header(const FileHeader& header, uint64_t actual_bytes) {
  if (header.version != kFormatVersion)
    return bad_input(
        "header: format version {}, but this Vitrail reads version {}; rebuild the engine with this "
        "version's `vitrail build`, or use the Vitrail that wrote it",
        header.version, kFormatVersion);
  if (header.file_bytes != actual_bytes)
    return bad_input("header: the file should have {} bytes and has {}; {}", header.file_bytes, actual_bytes,
                     kRebuild);
  // 64-bit arithmetic: a 32-bit count times 40 cannot overflow.
  const uint64_t wanted = kFixedHeaderBytes + uint64_t{header.segment_count} * sizeof(SegmentEntry);
  if (header.segment_count < 3 || wanted != header.header_bytes || wanted > actual_bytes ||
      header.reserved != 0)
    return bad_input("header: {} segments in a header of {} bytes cannot be; {}", header.segment_count,
                     header.header_bytes, kRebuild);
  return {};
}

// A segment may stand in one place only: at the next multiple of 64 after its predecessor. So neither
// overlaps nor hidden bytes are possible.
Status check_entry(const SegmentEntry& entry, const std::string& name, SegmentKind kind,
                   uint64_t previous_end, ByteSpan file) {
  const uint64_t offset = previous_end + padding_at(previous_end);
  if (entry.kind != kind || entry.reserved != 0)
    return bad_input("segment table: {} has kind {}; {}", name, static_cast<uint32_t>(entry.kind), kRebuild);
  if (entry.offset != offset || offset > file.size() || entry.bytes > file.size() - offset)
    return bad_input("segment table: {} has {} bytes at offset {}, outside its place in {} bytes; {}", name,
                     entry.bytes, entry.offset, file.size(), kRebuild);
  if (!all_zero(file.subspan(previous_end, offset - previous_end)))
    return bad_input("padding before {} is not zero; {}", name, kRebuild);
  return {};
}

// Index of the first segment whose content does not match its hash; the count when all do.
Result<size_t> first_damaged(std::span<const ByteSpan> segments, std::span<const SegmentEntry> entries,
                             int threads) {
  std::atomic<size_t> first{segments.size()};
  try {
    ThreadPool pool(std::clamp(threads, 1, 64));
    pool.parallel_for(static_cast<int64_t>(segments.size()), [&](int64_t index, int) {
      const auto i = static_cast<size_t>(index);
      if (hash_bytes(segments[i]) == entries[i].hash) return;
      size_t seen = first.load();
      while (i < seen && !first.compare_exchange_weak(seen, i)) {
      }
    });
  } catch (const std::system_error& error) {
    return resource_error("cannot start {} threads: {}", threads, error.what());
  }
  return first.load();
}

}  // namespace

std::string segment_name(SegmentKind kind, size_t index) {
  switch (kind) {
    case SegmentKind::kMetadata:
      return "metadata";
    case SegmentKind::kGraph:
      return "graph";
    case SegmentKind::kTensor:
      return fmt::format("tensor segment {}", index);
    case SegmentKind::kCertificate:
      return "certificate";
  }
  return fmt::format("segment {}", index);
}

uint64_t padding_at(uint64_t offset) {
  return (kSegmentAlignment - offset % kSegmentAlignment) % kSegmentAlignment;
}

std::vector<std::byte> make_header(std::span<const ByteSpan> segments, Hash128* root) {
  std::vector<Hash128> hashes(segments.size());
  ThreadPool pool(available_cores());
  pool.parallel_for(std::ssize(segments), [&](int64_t i, int) {
    hashes[static_cast<size_t>(i)] = hash_bytes(segments[static_cast<size_t>(i)]);
  });
  FileHeader header;
  header.segment_count = static_cast<uint32_t>(segments.size());
  header.header_bytes = static_cast<uint32_t>(kFixedHeaderBytes + segments.size() * sizeof(SegmentEntry));
  uint64_t end = header.header_bytes;
  std::vector<SegmentEntry> entries(segments.size());
  for (size_t i = 0; i < segments.size(); ++i) {
    const uint64_t offset = end + padding_at(end);
    entries[i] = {offset, segments[i].size(), kind_of(i, segments.size()), 0, hashes[i]};
    end = offset + segments[i].size();
  }
  header.file_bytes = end;

  std::vector<std::byte> out(header.header_bytes);
  std::memcpy(out.data(), &header, sizeof header);
  std::memcpy(out.data() + sizeof header, entries.data(), entries.size() * sizeof(SegmentEntry));
  *root = hash_bytes(ByteSpan(out).first(out.size() - sizeof(Hash128)));
  std::memcpy(out.data() + out.size() - sizeof(Hash128), root, sizeof(Hash128));
  return out;
}

Result<Container> open_container(ByteSpan file, int threads) {
  FileHeader header;
  if (file.size() >= sizeof header) std::memcpy(&header, file.data(), sizeof header);
  if (file.size() < kMagic.size() || std::memcmp(file.data(), kMagic.data(), kMagic.size()) != 0)
    return bad_input("header: not a Vitrail engine ({} bytes, no magic); make one with `vitrail build`",
                     file.size());
  if (file.size() < sizeof header)
    return bad_input("header: cut off after {} bytes; {}", file.size(), kRebuild);
  VTL_TRY(check_header(header, file.size()));

  Container container;
  const size_t hashed_bytes = header.header_bytes - sizeof(Hash128);
  std::memcpy(&container.root, file.data() + hashed_bytes, sizeof(Hash128));
  if (hash_bytes(file.first(hashed_bytes)) != container.root)
    return bad_input("header and segment table do not match their hash; {}", kRebuild);

  std::vector<SegmentEntry> entries(header.segment_count);
  std::memcpy(entries.data(), file.data() + sizeof header, entries.size() * sizeof(SegmentEntry));
  uint64_t end = header.header_bytes;
  for (size_t i = 0; i < entries.size(); ++i) {
    const SegmentKind kind = kind_of(i, entries.size());
    VTL_TRY(check_entry(entries[i], segment_name(kind, i), kind, end, file));
    container.segments.push_back(file.subspan(entries[i].offset, entries[i].bytes));
    end = entries[i].offset + entries[i].bytes;
  }
  if (end != file.size())
    return bad_input("{} bytes follow the certificate; {}", file.size() - end, kRebuild);

  VTL_ASSIGN(const size_t damaged, first_damaged(container.segments, entries, threads));
  if (damaged < entries.size())
    return bad_input("{} does not match its hash: the file was changed or damaged; {}",
                     segment_name(entries[damaged].kind, damaged), kRebuild);
  return container;
}

}  // namespace vitrail
