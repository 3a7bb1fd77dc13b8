// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "import/onnx/import.h"

namespace vitrail {

// A model as its files have it, whatever their format.
struct ModelFile {
  Graph graph;
  std::string name;  // of the file or folder, without where it is
  std::string hash;  // XXH3-128 of the file; of several, of the lines "HASH  NAME" of each
};

// ONNX, or safetensors (FILE.safetensors, an index of shards, or the folder they are in).
Result<ModelFile> read_model_file(const std::string& path, const ImportOptions& options, ImportReport& report);

}  // namespace vitrail
