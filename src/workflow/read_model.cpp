// SPDX-License-Identifier: Apache-2.0
#include "workflow/read_model.h"

#include <filesystem>
#include <future>
#include <span>
#include <vector>

#include "core/error.h"
#include "engine/hash.h"
#include "import/safetensors/import.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;

Result<std::string> hash_files(const std::vector<std::string>& files) {
  if (files.size() == 1) return hash_file(files[0]);
  std::string lines;
  for (const std::string& file : files) {
    VTL_ASSIGN(const std::string hash, hash_file(file));
    lines += fmt::format("{}  {}\n", hash, fs::path(file).filename().string());
  }
  return to_string(hash_bytes(std::as_bytes(std::span(lines))));
}

}  // namespace

Result<ModelFile> read_model_file(const std::string& path, const ImportOptions& options, ImportReport& report) {
  ModelFile model;
  const fs::path clean = fs::path(path).lexically_normal();
  model.name = (clean.has_filename() ? clean : clean.parent_path()).filename().string();
  if (is_safetensors(path)) {
    if (options.height || options.width)
      report.warnings.push_back("the size of the input comes from config.json; what was given is left out");
    std::vector<std::string> files;
    VTL_ASSIGN(model.graph, import_safetensors(path, &report, &files));
    VTL_ASSIGN(model.hash, hash_files(files));
    return model;
  }
  // Meanwhile: it reads the whole file as well.
  auto hash = std::async([&] { return hash_file(path); });
  VTL_ASSIGN(model.graph, import_onnx(path, options, &report));
  VTL_ASSIGN(model.hash, hash.get());
  return model;
}

}  // namespace vitrail
