// SPDX-License-Identifier: Apache-2.0
// The container of a .vtl file: header, segment table, segments. docs/vtl-format.md gives the bytes.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/hash.h"
#include "vitrail/status.h"

namespace vitrail {

static_assert(std::endian::native == std::endian::little, "a .vtl file is little-endian and mapped as it is");

inline constexpr std::array<char, 8> kMagic{'V', 'I', 'T', 'R', 'A', 'I', 'L', '\0'};
inline constexpr uint32_t kFormatVersion = 1;
inline constexpr uint64_t kSegmentAlignment = 64;  // a cache line and an AVX-512 register
inline constexpr uint32_t kFirstTensorSegment = 2;

enum class SegmentKind : uint32_t { kMetadata = 1, kGraph = 2, kTensor = 3, kCertificate = 4 };

struct FileHeader {
  std::array<char, 8> magic = kMagic;
  uint32_t version = kFormatVersion;
  uint32_t header_bytes = 0;  // this, the table and its hash
  uint64_t file_bytes = 0;
  uint32_t segment_count = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(FileHeader) == 32);

struct SegmentEntry {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  SegmentKind kind = SegmentKind::kTensor;
  uint32_t reserved = 0;
  Hash128 hash;
};
static_assert(sizeof(SegmentEntry) == 40);

// "metadata", "graph", "tensor segment 7", "certificate".
std::string segment_name(SegmentKind kind, size_t index);

// Header, table and their hash for segments with these contents: metadata, graph, tensors …, certificate. The
// offsets are the only ones that the format allows. `root` gets the hash, which stands for the whole file.
std::vector<std::byte> make_header(std::span<const ByteSpan> segments, Hash128* root);
// Zeros that stand before a segment that would begin at `offset`.
uint64_t padding_at(uint64_t offset);

struct Container {
  std::vector<ByteSpan> segments;  // inside `file`
  Hash128 root;
};
// Checks magic, version, every size and offset, and every hash, with up to `threads` threads. The error names
// the section.
Result<Container> open_container(ByteSpan file, int threads);

}  // namespace vitrail
