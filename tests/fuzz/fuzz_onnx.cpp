// SPDX-License-Identifier: Apache-2.0
// ONNX files on the way of a build: import, folding of constants, shapes, fusion.
#include "backends/reference/evaluate.h"
#include "import/onnx/import.h"
#include "passes/pipeline.h"
#include "scratch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrail;
  static const fuzz::Scratch kScratch;
  ImportOptions options;
  options.evaluate = [](const Node& node, std::span<const Tensor* const> inputs) {
    return evaluate_node(node, inputs);
  };
  auto graph = import_onnx(kScratch.put("model.onnx", {data, size}), options);
  if (!graph.ok()) return 0;
  if (simplify(*graph, options.evaluate).ok()) (void)fuse(*graph);
  return 0;
}
