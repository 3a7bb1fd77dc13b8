// SPDX-License-Identifier: Apache-2.0
#include "model_builder.h"

namespace vitrail::testing_import {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Inputs : public ImportTest {
 protected:
  static ModelBuilder model(const std::vector<TestDim>& dims, int32_t type = 1) {
    ModelBuilder m;
    m.input("x", dims, type).output("y");
    m.node("Identity", {"x"}, {"y"});
    return m;
  }
  std::string shape(const std::vector<TestDim>& dims, const ImportOptions& options = {}) {
    const Graph g = import_ok(model(dims), options);
    return g.inputs.empty() ? "" : to_string(*g.value(g.inputs[0]).shape);
  }
};

TEST_F(Inputs, FirstDimensionIsTheBatchUnlessItIsFixed) {
  EXPECT_EQ(shape({"batch", 3, 8, 8}), "[N,3,8,8]");
  EXPECT_EQ(shape({"anything", 3, 8, 8}), "[N,3,8,8]");
  EXPECT_EQ(shape({"", 3, 8, 8}), "[N,3,8,8]");
  EXPECT_EQ(shape({-1, 3, 8, 8}), "[N,3,8,8]");
  EXPECT_EQ(shape({4, 3, 8, 8}), "[4,3,8,8]");
  EXPECT_EQ(shape({3, "Batch_Size"}), "[3,N]");
  EXPECT_THAT(report_.warnings, IsEmpty());
}

TEST_F(Inputs, OpenHeightAndWidthAreTakenFromTheOptionsOr224) {
  EXPECT_EQ(shape({"batch", 3, "h", ""}), "[N,3,224,224]");
  ASSERT_EQ(report_.warnings.size(), 2u);
  EXPECT_THAT(report_.warnings[0], HasSubstr("'h'"));
  EXPECT_THAT(report_.warnings[0], HasSubstr("224"));
  EXPECT_THAT(report_.warnings[1], HasSubstr("width"));
  EXPECT_EQ(shape({"batch", 3, "h", "w"}, {.height = 64, .width = 96, .dims = {}}), "[N,3,64,96]");
  EXPECT_EQ(shape({"batch", 3, "h", 32}, {.height = 64, .width = 96, .dims = {}}), "[N,3,64,32]");
}

TEST_F(Inputs, NamedDimensionsAreTakenFromTheOptions) {
  EXPECT_EQ(shape({"batch", "tokens"}, {.dims = {{"tokens", 50}}}), "[N,50]");
  EXPECT_EQ(shape({"batch", 3, "h", "w"}, {.height = 64, .dims = {{"h", 32}, {"w", 16}, {"batch", 2}}}),
            "[2,3,32,16]");
  EXPECT_THAT(report_.warnings, IsEmpty());
  import_ok(model({"batch", 3}), {.dims = {{"typo", 3}}});
  ASSERT_EQ(report_.warnings.size(), 1u);
  EXPECT_THAT(report_.warnings[0], HasSubstr("'typo'"));
  EXPECT_THAT(report_.warnings[0], HasSubstr("batch"));
}

TEST_F(Inputs, OpenDimensionsThatNothingSettlesAreAnErrorWithTheWayOut) {
  expect_error(model({"batch", "tokens"}), {"input 'x'", "'tokens'", "--dim tokens=VALUE"});
  expect_error(model({"batch", "channels", 8, 8}), {"input 'x'", "--dim channels=VALUE"});
  expect_error(model({"batch", 0}), {"input 'x'", "dimension 1"});
}

TEST_F(Inputs, ImpossibleOptionsAreAUsageError) {
  expect_error(model({"batch", 3}), {"height", "-1"}, Code::kUsage, {.height = -1, .width = 0, .dims = {}});
  expect_error(model({"batch", 3}), {"'t'", "0"}, Code::kUsage, {.dims = {{"t", 0}}});
}

TEST_F(Inputs, ThatAreNoTensorsOfKnownTypeAndRankAreAnError) {
  expect_error(model({"batch", 3}, 8), {"input 'x'", "string"});
  ModelBuilder unranked = model({"batch", 3});
  unranked.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->clear_shape();
  expect_error(unranked, {"input 'x'", "rank"});
  ModelBuilder sequence = model({"batch", 3});
  sequence.graph().mutable_input(0)->mutable_type()->mutable_sequence_type();
  expect_error(sequence, {"input 'x'", "not a tensor"});
  expect_error(model({int64_t{1} << 40}), {"input 'x'", "1099511627776"});
  expect_error(model({100000, 100000, 100000}), {"input 'x'", "elements"});
  ModelBuilder twice = model({"batch", 3});
  twice.input("x", {"batch", 3});
  expect_error(twice, {"'x'", "twice"});
}

TEST_F(Inputs, TypesAreKept) {
  const Graph g = import_ok(model({"batch", 3}, 10));
  EXPECT_EQ(g.value(g.inputs[0]).dtype, DType::kF16);
}

// As IR versions before 4 did.
TEST_F(Inputs, InitializersListedAmongThemAreWeights) {
  ModelBuilder m = model({"batch", 3});
  m.floats("w", {2}, {1, 2}).input("w", {2});
  const Graph g = import_ok(m);
  EXPECT_EQ(g.inputs.size(), 1u);
  EXPECT_TRUE(g.is_constant(g.find("w")));
}

}  // namespace
}  // namespace vitrail::testing_import
