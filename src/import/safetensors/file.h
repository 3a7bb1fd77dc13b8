// SPDX-License-Identifier: Apache-2.0
// The safetensors format (https://github.com/huggingface/safetensors): a JSON header and the tensors' bytes.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "vitrail/tensor.h"

namespace vitrail::safetensors {

// Of one tensor, as the header says and as the file can hold.
struct Entry {
  std::string dtype;  // "F32", "BF16", …
  Shape shape;
  const std::byte* data = nullptr;
  size_t bytes = 0;
  std::shared_ptr<const MappedFile> file;  // keeps `data` alive
};

using Entries = std::map<std::string, Entry, std::less<>>;

// Adds the tensors of one file. kBadInput when the header is damaged, says more than the file holds or names a tensor
// that is there already.
Status read_file(const std::string& path, Entries& entries);
Status parse(std::shared_ptr<const MappedFile> file, Entries& entries);

// All files of a model: FILE.safetensors, a *.index.json that names shards beside it, or a folder with
// model.safetensors or model.safetensors.index.json. Errors name the file.
struct Checkpoint {
  std::string folder;  // where config.json is
  std::vector<std::string> files;
  Entries entries;
};
Result<Checkpoint> open_checkpoint(const std::string& path);

// Whether open_checkpoint() is for this path.
bool is_checkpoint(const std::string& path);

// A tensor that points into the file; 16-bit and 64-bit floats become float32. kBadInput for other types.
Result<Tensor> to_float(const Entry& entry);

}  // namespace vitrail::safetensors
