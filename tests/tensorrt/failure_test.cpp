// SPDX-License-Identifier: Apache-2.0
// What TensorRT says and what a user is told: the texts of versions and machines that are not here.
#include <gmock/gmock.h>

#include "backends/tensorrt/module/logger.h"
#include "backends/tensorrt/module/plan_backend.h"
#include "backends/tensorrt/module/program.h"

namespace vitrail::tensorrt {
namespace {

using testing::HasSubstr;

Status told(const char* text) {
  Logger logger;
  logger.log(nv::ILogger::Severity::kERROR, text);
  return explain_failure(logger, {}, "a plan of TensorRT 8.5.3 for Tesla T4 (sm_75), read by TensorRT 8.6.1 on H100 (sm_90)");
}

TEST(Failures, APlanOfAnotherVersion) {
  const Status s = told("1: [stdArchiveReader.cpp::StdArchiveReader::32] Error Code 1: Serialization (Serialization assertion "
                        "stdVersionRead == serializationVersion failed.Version tag does not match. Note: Current Version: 232, "
                        "Serialized Engine Version: 226)");
  EXPECT_EQ(s.code(), Code::kBadInput);
  EXPECT_THAT(s.message(), HasSubstr("for Tesla T4 (sm_75), read by TensorRT 8.6.1"));
  EXPECT_THAT(s.message(), HasSubstr("made by another version of TensorRT; build it again with this one, or with --version-compatible"));
}

TEST(Failures, APlanForAnotherGpu) {
  const Status s = told("6: The engine plan file is generated on an incompatible device, expecting compute capability 9.0 got compute "
                        "capability 7.5, please rebuild.");
  EXPECT_EQ(s.code(), Code::kUnavailable);
  EXPECT_THAT(s.message(), HasSubstr("for another GPU; build it again here, or with --hardware-compatible"));
}

TEST(Failures, APlanThatIsCut) {
  const Status s = told("1: [engine.cpp::deserialize::42] Error Code 1: Serialization (Serialization assertion size >= needed failed.)");
  EXPECT_EQ(s.code(), Code::kBadInput);
  EXPECT_THAT(s.message(), HasSubstr("the plan is damaged"));
}

TEST(Failures, ATimingCacheThatIsDamaged) {
  const Status s = told("Timing cache deserialization failed: checksum");
  EXPECT_EQ(s.code(), Code::kBadInput);
  EXPECT_THAT(s.message(), HasSubstr("delete the file given by --timing-cache"));
}

TEST(Failures, AWorkspaceThatIsTooSmall) {
  const Status s = told("10: [optimizer.cpp::computeCosts::3728] Error Code 10: Internal Error (Could not find any implementation for "
                        "node {ForeignNode[/blocks.0/MatMul.../blocks.0/Add]}.)");
  EXPECT_THAT(s.message(), HasSubstr("give a larger --workspace"));
}

TEST(Failures, WhatWantsWorkspaceIsKnown) {
  for (const char* text : {"Tactic Selection: no tactics to implement the operation within workspace limit.",
                           "Error Code 2: OutOfMemory (Requested size was 8618388 bytes.)",
                           "Could not find any implementation for node {ForeignNode[a...b]}."}) {
    Logger logger;
    EXPECT_FALSE(wants_workspace(logger));
    logger.log(nv::ILogger::Severity::kERROR, text);
    EXPECT_TRUE(wants_workspace(logger)) << text;
    EXPECT_THAT(explain_failure(logger, {}, "x").message(), HasSubstr("--workspace"));
  }
}

TEST(Failures, ALostTimingCacheIsNoticedWhereThereIsAGpu) {
  Logger logger;
  logger.log(nv::ILogger::Severity::kWARNING, "Failed to deserialize timing cache. Returning an empty timing cache.");
  EXPECT_TRUE(logger.lost_timing_cache());
  logger.log(nv::ILogger::Severity::kERROR, "Error Code 1: Cuda Runtime (cudaError 35: CUDA driver version is insufficient)");
  EXPECT_FALSE(logger.lost_timing_cache());
}

std::shared_ptr<Graph> with_plan() {
  auto graph = std::make_shared<Graph>();
  graph->inputs = {graph->add_value({"x", DType::kF32, SymShape{Dim::batch()}, {}, {}})};
  graph->outputs = {graph->add_value({"y", DType::kF32, SymShape{Dim::batch()}, {}, {}})};
  Node node;
  node.op = Op::Plan;
  node.inputs = {graph->add_constant("plan", Tensor(DType::kU8, {16})), graph->inputs[0]};
  node.outputs = graph->outputs;
  graph->nodes = {node};
  return graph;
}

TEST(Failures, APlanOfAnotherTensorRtIsSeenWithoutAGpu) {
  const auto library = Library::get();
  if (!library.ok()) GTEST_SKIP() << library.status().message();
  const auto graph = with_plan();
  graph->metadata[kLibraryKey] = "TensorRT 7.2.3";
  const Status s = PlanProgram::create(graph, false).status();
  EXPECT_EQ(s.code(), Code::kUnavailable);
  EXPECT_THAT(s.message(), HasSubstr("was built by TensorRT 7.2.3, here is " + (*library)->name()));
}

TEST(Failures, ABatchThatIsInNoProfile) {
  const auto graph = with_plan();
  graph->nodes[0].attributes[kProfiles] = std::vector<int64_t>{1, 8, 16, 16, 32, 64};
  const auto program = PlanProgram::create(graph, true);
  ASSERT_TRUE(program.ok()) << program.status().message();
  const auto& plan = static_cast<const PlanProgram&>(**program);
  EXPECT_EQ(plan.profile_of(8), 0);
  EXPECT_EQ(plan.profile_of(30), 1);
  EXPECT_EQ(plan.profile_of(65), -1);
  EXPECT_EQ(plan.profiles_text(), "1:8:16, 16:32:64");
  graph->nodes[0].attributes[kProfiles] = std::vector<int64_t>{1, 8};
  EXPECT_THAT(PlanProgram::create(graph, true).status().message(), HasSubstr("profiles are damaged"));
}

TEST(Failures, NoWordsAtAll) {
  Logger logger;
  EXPECT_THAT(explain_failure(logger, {}, "profile 1").message(), HasSubstr("profile 1: TensorRT refuses without a word"));
}

}  // namespace
}  // namespace vitrail::tensorrt
