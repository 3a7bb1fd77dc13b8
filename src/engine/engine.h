// SPDX-License-Identifier: Apache-2.0
// The .vtl file: one fused graph, its packed weights and everything needed to run it. docs/vtl-format.md
// gives the bytes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/hash.h"
#include "graph/graph.h"
#include "preprocess/contract.h"
#include "vitrail/status.h"

namespace vitrail {

// Batch sizes that an engine accepts and is tuned for: min <= opt <= max.
struct Profile {
  int64_t min = 1;
  int64_t opt = 8;
  int64_t max = 64;
  bool operator==(const Profile&) const = default;
};

// What one layer of the engine got and why: the data behind `explain`.
struct Refusal {
  std::string kernel;
  std::string reason;
};
struct LayerReport {
  std::string name;
  std::string op;
  std::string stage;
  std::string kernel;
  std::string precision;
  std::vector<Refusal> refused;  // better kernels, best first
  double flops_per_image = 0;    // 2 × multiply-adds
};

struct EngineInfo {
  std::string producer;    // "vitrail 0.1.0"
  std::string model_name;  // file name of the model, without its folder
  std::string model_hash;  // XXH3-128 of the model's bytes, hex
  std::string backend;
  std::string precision;
  std::vector<Profile> profiles;
  int64_t workspace_bytes = 0;  // the cap that the build was given
  PreprocessContract preprocess;
  std::vector<std::string> labels;
  std::vector<LayerReport> layers;
  std::string quantization_json;  // how `vitrail quantize` made the model; empty for any other
  std::string build_json;  // how it was built and of what (workflow/build_record.h); empty in older engines
  std::string certificate_json;  // empty until `verify --certify`
};

struct Engine {
  EngineInfo info;
  std::shared_ptr<const Graph> graph;  // constants point into the memory map
  std::string hash;                    // XXH3-128 over the header and the hash of every segment, hex
  int64_t file_bytes = 0;
  int64_t weight_bytes = 0;
};

// Maps and validates the file: magic, version, bounds, every segment's hash, graph structure. Any changed
// byte is an error that names the section. Weights are not copied: an engine file is replaced by renaming,
// never changed in place. `threads` hash in parallel.
Result<Engine> load_engine(const std::string& path, int threads = 1);

// Writes to a temporary file in the same folder, syncs and renames, so that no reader ever sees half a file
// and a full disk leaves the old one. The same contents give the same bytes. Returns the file's hash
// (Engine::hash).
Result<std::string> write_engine(const std::string& path, const EngineInfo& info, const Graph& graph);

// Replaces the certificate of an engine, by renaming too; engines already loaded keep the old one. An empty
// string removes it. kBadInput when `json` is not JSON. The file's hash changes with its certificate.
Status write_certificate(const std::string& path, const std::string& json);

}  // namespace vitrail
