// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "core/error.h"
#include "core/files.h"
#include "engine/engine.h"
#include "engine/format.h"
#include "engine/graph_json.h"
#include "engine/info_json.h"
#include "engine/json_cursor.h"
#include "engine/validate.h"

namespace vitrail {
namespace {

ByteSpan as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
ByteSpan as_bytes(const Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.data()), tensor.bytes()};
}

}  // namespace

Result<std::string> write_engine(const std::string& path, const EngineInfo& info, const Graph& graph) {
  const std::string context = fmt::format("engine '{}'", path);
  VTL_TRY(validate_engine(info, graph).with_context(context));
  std::vector<Tensor> tensors;
  const auto metadata = info_to_json(info);
  VTL_TRY(metadata.status().with_context(context + ": metadata"));
  const auto graph_json = graph_to_json(graph, &tensors);
  VTL_TRY(graph_json.status().with_context(context + ": graph"));

  std::vector<ByteSpan> segments{as_bytes(*metadata), as_bytes(*graph_json)};
  for (const Tensor& tensor : tensors) segments.push_back(as_bytes(tensor));
  segments.push_back(as_bytes(info.certificate_json));

  Hash128 root;
  const std::vector<std::byte> header = make_header(segments, &root);
  static constexpr std::array<std::byte, kSegmentAlignment> kZeros{};
  std::vector<ByteSpan> parts{header};
  uint64_t end = header.size();
  for (ByteSpan segment : segments) {
    const uint64_t padding = padding_at(end);
    parts.push_back(ByteSpan(kZeros).first(padding));
    parts.push_back(segment);
    end += padding + segment.size();
  }
  VTL_TRY(write_file_atomically(path, parts).with_context(context));
  return to_string(root);
}

Status write_certificate(const std::string& path, const std::string& json) {
  VTL_ASSIGN(Engine engine, load_engine(path));
  engine.info.certificate_json = json;
  return write_engine(path, engine.info, *engine.graph).status();
}

}  // namespace vitrail
