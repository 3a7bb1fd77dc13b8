// SPDX-License-Identifier: Apache-2.0
// Real models: after simplify() every shape is known and no shape arithmetic is left.
#include <gtest/gtest.h>

#include <filesystem>

#include "../tools/timm_exports.h"
#include "backends/reference/evaluate.h"
#include "graph_builder.h"
#include "import/onnx/import.h"
#include "passes/pipeline.h"

namespace vitrail::testing {
namespace {

void expect_simple(const std::string& path) {
  SCOPED_TRACE(path);
  auto graph = import_onnx(path);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const Status s = simplify(*graph, [](const Node& node, std::span<const Tensor* const> inputs) {
    return evaluate_node(node, inputs);
  });
  ASSERT_TRUE(s.ok()) << s.message();
  const UseMap uses(*graph);
  for (const Node& node : graph->nodes) {
    for (ValueId id : node.outputs) {
      if (id == kNoValue) continue;
      const Value& v = graph->value(id);
      EXPECT_TRUE(v.shape) << op_name(node.op) << " " << node.name;
      // All that may be left is the operand of an Expand to the batch: Shape of an input, then Concat with
      // constants.
      if (!v.integers) continue;
      const bool batch = node.op == Op::Shape && uses.producer(node.inputs[0]) < 0;
      EXPECT_TRUE(batch || node.op == Op::Concat) << op_name(node.op) << " " << node.name;
    }
    EXPECT_NE(node.op, Op::Identity);
    EXPECT_NE(node.op, Op::ConstantOfShape);
    EXPECT_NE(node.op, Op::Range);
  }
  EXPECT_LE(count(*graph, Op::Shape), 1);
}

TEST(SimplifyModels, Dinov2OfTheSharedData) {
  const std::string path = VTL_SHARED_DATA "/models/dinov2s_cifar10.onnx";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
  expect_simple(path);
}

TEST(SimplifyModels, VitFocus) {
  const char* folder = std::getenv("VTL_DEMO");
  if (!folder) GTEST_SKIP() << "VTL_DEMO does not name a folder of scripts/fetch_demo.sh";
  expect_simple(std::string(folder) + "/vit_s_focus.onnx");
}

TEST(SimplifyModels, TimmExportsOfBothExporters) {
  const TimmExports exports = timm_exports(VTL_SOURCE_DIR);
  if (exports.names.empty()) GTEST_SKIP() << exports.why_none;
  for (const std::string& name : exports.names) expect_simple((exports.folder / (name + ".onnx")).string());
}

}  // namespace
}  // namespace vitrail::testing
