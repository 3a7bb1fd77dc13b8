// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>

#include "../tools/timm_exports.h"
#include "model_builder.h"

namespace vitrail::testing_import {
namespace {

std::map<std::string_view, int> count_operators(const Graph& graph) {
  std::map<std::string_view, int> counts;
  for (const Node& node : graph.nodes) ++counts[op_name(node.op)];
  return counts;
}

TEST(RealModels, Dinov2OfTheSharedData) {
  const std::string path = VTL_SHARED_DATA "/models/dinov2s_cifar10.onnx";
  if (!fs::exists(path)) GTEST_SKIP() << path << " is not there";
  ImportReport report;
  const auto graph = import_onnx(path, {}, &report);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(graph->opset, 17);
  ASSERT_EQ(graph->inputs.size(), 1u);
  EXPECT_EQ(graph->value(graph->inputs[0]).name, "input");
  EXPECT_EQ(to_string(*graph->value(graph->inputs[0]).shape), "[N,3,224,224]");
  EXPECT_EQ(graph->value(graph->outputs[0]).name, "logits");
  auto counts = count_operators(*graph);
  EXPECT_EQ(counts["Conv"], 1);
  EXPECT_EQ(counts["LayerNormalization"], 25);
  EXPECT_EQ(counts["Softmax"], 12);
  EXPECT_EQ(counts["Erf"], 12);
  EXPECT_EQ(counts["Constant"], 0);
  EXPECT_EQ(report.nonfinite_weights, 0);
  EXPECT_TRUE(report.warnings.empty()) << report.warnings[0];
  int64_t weights = 0;
  for (const Value& v : graph->values)
    if (v.constant && v.dtype == DType::kF32) weights += v.constant->count();
  EXPECT_NEAR(static_cast<double>(weights), 21.6e6, 0.3e6);
}

// Both of PyTorch's exporters; the variants are listed in export_timm.py.
TEST(RealModels, TimmExportsOfBothExporters) {
  const TimmExports exports = timm_exports(VTL_SOURCE_DIR);
  if (exports.names.empty()) GTEST_SKIP() << exports.why_none;
  EXPECT_GE(exports.names.size(), 50u);
  for (const std::string& name : exports.names) {
    ImportReport report;
    const auto graph = import_onnx((exports.folder / (name + ".onnx")).string(), {}, &report);
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    EXPECT_EQ(graph->opset, name.find("_ts17") != std::string::npos ? 17 : 20) << name;
    EXPECT_EQ(to_string(*graph->value(graph->inputs.at(0)).shape), "[N,3,32,32]") << name;
    EXPECT_EQ(graph->outputs.size(), 1u) << name;
    EXPECT_TRUE(report.warnings.empty()) << name << ": " << report.warnings[0];
    auto counts = count_operators(*graph);
    EXPECT_EQ(counts["Conv"], name.starts_with("decoder") ? 3 : 1) << name;
    EXPECT_GE(counts["Softmax"], 2) << name;
  }
}

}  // namespace
}  // namespace vitrail::testing_import
