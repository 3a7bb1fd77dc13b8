// SPDX-License-Identifier: Apache-2.0
// What TensorRT says and what a user is told: the texts of versions and machines that are not here.
#include <gmock/gmock.h>

#include "backends/tensorrt/module/logger.h"

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

TEST(Failures, NoWordsAtAll) {
  Logger logger;
  EXPECT_THAT(explain_failure(logger, {}, "profile 1").message(), HasSubstr("profile 1: TensorRT refuses without a word"));
}

}  // namespace
}  // namespace vitrail::tensorrt
