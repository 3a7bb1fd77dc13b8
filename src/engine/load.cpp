// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"
#include "core/mapped_file.h"
#include "engine/engine.h"
#include "engine/format.h"
#include "engine/graph_json.h"
#include "engine/info_json.h"
#include "engine/validate.h"

namespace vitrail {
namespace {

std::string_view as_text(ByteSpan bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<Engine> load(const std::shared_ptr<const MappedFile>& map, int threads) {
  VTL_ASSIGN(const Container container, open_container({map->data(), map->size()}, threads));
  const auto& segments = container.segments;

  Engine engine;
  auto info = info_from_json(as_text(segments[0]));
  VTL_TRY(info.status().with_context("metadata"));
  engine.info = std::move(info).value();
  engine.info.certificate_json = as_text(segments.back());
  auto graph = graph_from_json(as_text(segments[1]), segments, map);
  VTL_TRY(graph.status().with_context("graph"));
  VTL_TRY(validate_engine(engine.info, *graph));

  engine.graph = std::make_shared<const Graph>(std::move(graph).value());
  engine.hash = to_string(container.root);
  engine.file_bytes = static_cast<int64_t>(map->size());
  for (size_t i = kFirstTensorSegment; i + 1 < segments.size(); ++i)
    engine.weight_bytes += static_cast<int64_t>(segments[i].size());
  return engine;
}

}  // namespace

Result<Engine> load_engine(const std::string& path, int threads) {
  VTL_ASSIGN(const auto map, MappedFile::open(path));
  auto engine = load(map, threads);
  VTL_TRY(engine.status().with_context(fmt::format("engine '{}'", path)));
  return engine;
}

}  // namespace vitrail
