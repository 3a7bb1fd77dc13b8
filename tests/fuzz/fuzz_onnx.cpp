// SPDX-License-Identifier: Apache-2.0
// ONNX files on the way of a build: import, folding of constants, shapes, fusion.
#include "backends/reference/evaluate.h"
#include "import/onnx/import.h"
#include "passes/pipeline.h"
#include "scratch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrail;
  static const fuzz::Scratch kScratch;
  auto graph = import_onnx(kScratch.put("model.onnx", {data, size}));
  if (!graph.ok()) return 0;
  const Status simple = simplify(*graph, [](const Node& node, std::span<const Tensor* const> inputs) {
    return evaluate_node(node, inputs);
  });
  if (simple.ok()) (void)fuse(*graph);
  return 0;
}
