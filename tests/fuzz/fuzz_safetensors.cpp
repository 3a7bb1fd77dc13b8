// SPDX-License-Identifier: Apache-2.0
// A folder in one input: the length of config.json (2 bytes, little-endian), config.json, model.safetensors.
#include <algorithm>

#include "import/safetensors/config.h"
#include "import/safetensors/import.h"
#include "scratch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrail;
  static const fuzz::Scratch kScratch;
  if (size < 2) return 0;
  const std::span<const uint8_t> rest(data + 2, size - 2);
  const size_t length = std::min<size_t>(rest.size(), data[0] | data[1] << 8);
  kScratch.put("config.json", rest.first(length));
  kScratch.put("preprocessor_config.json", rest.first(length));
  kScratch.put("model.safetensors", rest.subspan(length));
  const auto graph = import_safetensors(kScratch.folder());
  if (graph.ok() && graph->outputs.empty()) std::abort();
  std::vector<std::string> warnings;
  (void)safetensors::preprocess_from_huggingface({reinterpret_cast<const char*>(rest.data()), length}, warnings);
  kScratch.put("model.safetensors.index.json", rest.first(length));
  (void)safetensors::open_checkpoint(kScratch.folder() + "/model.safetensors.index.json");
  return 0;
}
