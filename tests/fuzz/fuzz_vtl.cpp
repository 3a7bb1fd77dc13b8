// SPDX-License-Identifier: Apache-2.0
// Engine files, as they are and under hashes that fit: hashes find accidents, and whoever writes a hostile file sets
// them right.
#include <cstring>
#include <vector>

#include "engine/engine.h"
#include "engine/format.h"
#include "scratch.h"

namespace {

using namespace vitrail;

// The segments that the table names, cut to what is there, in a container of their own.
std::vector<uint8_t> sealed(ByteSpan file) {
  constexpr size_t kMaxSegments = 256;
  FileHeader header;
  if (file.size() < sizeof header) return {};
  std::memcpy(&header, file.data(), sizeof header);
  std::vector<ByteSpan> segments;
  for (size_t i = 0; i < header.segment_count && i < kMaxSegments; ++i) {
    SegmentEntry entry;
    const size_t at = sizeof header + i * sizeof entry;
    if (at + sizeof entry > file.size()) break;
    std::memcpy(&entry, file.data() + at, sizeof entry);
    const size_t offset = std::min<size_t>(entry.offset, file.size());
    segments.push_back(file.subspan(offset, std::min<size_t>(entry.bytes, file.size() - offset)));
  }
  if (segments.size() < 3) return {};
  Hash128 root;
  const std::vector<std::byte> head = make_header(segments, &root);
  std::vector<uint8_t> out(reinterpret_cast<const uint8_t*>(head.data()),
                           reinterpret_cast<const uint8_t*>(head.data()) + head.size());
  for (const ByteSpan& segment : segments) {
    out.resize(out.size() + padding_at(out.size()));
    const auto* bytes = reinterpret_cast<const uint8_t*>(segment.data());
    out.insert(out.end(), bytes, bytes + segment.size());
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const vitrail::fuzz::Scratch kScratch;
  (void)vitrail::load_engine(kScratch.put("engine.vtl", {data, size}));
  const auto mended = sealed({reinterpret_cast<const std::byte*>(data), size});
  if (!mended.empty()) (void)vitrail::load_engine(kScratch.put("engine.vtl", mended));
  return 0;
}
