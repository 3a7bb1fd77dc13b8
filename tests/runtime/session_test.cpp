// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fake.h"

namespace vitrail {
namespace {

using test::fake_engine;
using test::FakeProgram;
using testing::ElementsAre;
using testing::HasSubstr;

class SessionTest : public testing::Test {
 protected:
  void SetUp() override { open({}); }
  void open(const SessionOptions& options) {
    auto session = Session::create(engine_, program_, options);
    ASSERT_TRUE(session.ok()) << session.status().message();
    session_ = std::move(session).value();
  }
  static NamedTensor rows(int64_t n, float value = 1) {
    Tensor t(DType::kF32, {n, 3});
    std::ranges::fill(t.as_mutable<float>(), value);
    return {"x", t};
  }
  static NamedTensor bias(float value = 0.5f) { return {"bias", Tensor::f32({1}, {value})}; }
  void expect_error(const std::vector<NamedTensor>& inputs, const std::vector<std::string>& parts) {
    auto out = session_->run(inputs);
    ASSERT_EQ(out.status().code(), Code::kBadInput);
    for (const std::string& part : parts) EXPECT_THAT(out.status().message(), HasSubstr(part));
  }

  std::shared_ptr<Engine> engine_ = fake_engine();
  std::shared_ptr<FakeProgram> program_ = std::make_shared<FakeProgram>();
  std::unique_ptr<Session> session_;
};

TEST_F(SessionTest, RunsInputsInAnyOrder) {
  auto out = session_->run({bias(), {"x", Tensor::f32({2, 3}, {1, 2, 3, 4, 5, 6})}});
  ASSERT_TRUE(out.ok()) << out.status().message();
  ASSERT_EQ(out->size(), 2u);
  EXPECT_EQ((*out)[0].name, "sum");
  EXPECT_THAT((*out)[0].tensor.as<float>(), ElementsAre(6.5f, 15.5f));
  EXPECT_EQ((*out)[1].tensor.shape(), (Shape{2, 3}));
  EXPECT_THAT((*out)[1].tensor.as<float>(), ElementsAre(2, 4, 6, 8, 10, 12));
  EXPECT_THAT(session_->output_shapes(4), ElementsAre(Shape{4}, Shape{4, 3}));
}

TEST_F(SessionTest, WritesOutputsByName) {
  const NamedTensor x = rows(2), b = bias();
  Tensor sum(DType::kF32, {2}), doubled(DType::kF32, {2, 3});
  const NamedView inputs[] = {{"bias", b.tensor.view()}, {"x", x.tensor.view()}};
  const NamedMutableView outputs[] = {{"doubled", doubled.mutable_view()}, {"sum", sum.mutable_view()}};
  ASSERT_TRUE(session_->run(inputs, outputs).ok());
  EXPECT_THAT(sum.as<float>(), ElementsAre(3.5f, 3.5f));
  EXPECT_EQ(doubled.as<float>()[5], 2.0f);
}

TEST_F(SessionTest, WrongNamesListTheRightOnes) {
  expect_error({{"pixels", rows(1).tensor}, bias()},
               {"no input 'pixels'", "'x' float32[N,3]", "'bias' float32[1]"});
  expect_error({bias()}, {"'x' float32[N,3] is missing"});
  expect_error({bias(), bias(), rows(1)}, {"'bias' is given twice"});
  expect_error({}, {"missing"});
}

TEST_F(SessionTest, WrongShapesAndTypesSayWhatWasExpected) {
  expect_error({{"x", Tensor::f32({1, 2}, {1, 2})}, bias()},
               {"'x'", "expected float32[N,3]", "got float32[1,2]"});
  expect_error({{"x", Tensor::f32({3}, {1, 2, 3})}, bias()}, {"expected float32[N,3]", "got float32[3]"});
  expect_error({{"x", Tensor(DType::kF64, {1, 3})}, bias()}, {"expected float32[N,3]", "got float64[1,3]"});
  expect_error({{"x", Tensor(DType::kF32, {0, 3})}, bias()}, {"got float32[0,3]"});
  expect_error({rows(1), {"bias", Tensor::f32({2}, {1, 2})}},
               {"'bias'", "expected float32[1],", "got float32[2]"});
  // Extents whose product would overflow are a mismatch as well.
  const float one = 1;
  const NamedView huge[] = {{"x", {DType::kF32, {INT64_MAX, 3}, &one}}, {"bias", {DType::kF32, {1}, &one}}};
  EXPECT_THAT(session_->run(huge, {}).message(), HasSubstr("got float32[9223372036854775807,3]"));
}

TEST_F(SessionTest, MissingOrMisalignedMemoryIsRefused) {
  alignas(8) char bytes[32] = {};
  const NamedTensor b = bias();
  const NamedView none[] = {{"x", {DType::kF32, {1, 3}, nullptr}}, {"bias", b.tensor.view()}};
  EXPECT_THAT(session_->run(none, {}).message(), HasSubstr("'x' has no memory"));
  const NamedView odd[] = {{"x", {DType::kF32, {1, 3}, bytes + 1}}, {"bias", b.tensor.view()}};
  EXPECT_THAT(session_->run(odd, {}).message(), HasSubstr("not aligned"));
}

TEST_F(SessionTest, OutputsAreChecked) {
  const NamedTensor x = rows(2), b = bias();
  Tensor sum(DType::kF32, {2}), doubled(DType::kF32, {2, 3}), small(DType::kF32, {1});
  const NamedView inputs[] = {{"bias", b.tensor.view()}, {"x", x.tensor.view()}};
  const NamedMutableView wrong_size[] = {{"doubled", doubled.mutable_view()}, {"sum", small.mutable_view()}};
  EXPECT_THAT(session_->run(inputs, wrong_size).message(),
              HasSubstr("output 'sum': expected float32[N] with N = 2"));
  const NamedMutableView one[] = {{"doubled", doubled.mutable_view()}};
  EXPECT_THAT(session_->run(inputs, one).message(), HasSubstr("output 'sum' float32[N] is missing"));
  const NamedMutableView other[] = {{"doubled", doubled.mutable_view()}, {"total", sum.mutable_view()}};
  EXPECT_THAT(session_->run(inputs, other).message(), HasSubstr("no output 'total'"));
}

TEST_F(SessionTest, BatchMustBeInAProfile) {
  for (int64_t n : {1, 8, 16}) EXPECT_TRUE(session_->run({rows(n), bias()}).ok()) << n;
  for (int64_t n : {9, 15, 17})
    expect_error({rows(n), bias()}, {"batch " + std::to_string(n), "1:4:8, 16:16:16", "--profile 1:"});
  open({.max_batch = 4});
  EXPECT_TRUE(session_->run({rows(4), bias()}).ok());
  expect_error({rows(5), bias()}, {"batch 5", "max_batch 4"});
}

TEST_F(SessionTest, InputsMustAgreeOnTheBatch) {
  auto graph = std::make_shared<Graph>(*engine_->graph);
  graph->value(graph->find("bias")).shape = SymShape{{2, 1}};  // 2N+1
  engine_->graph = graph;
  open({});
  expect_error({rows(2), {"bias", Tensor::f32({3}, {1, 2, 3})}},
               {"'bias'", "[2N+1] with N = 2", "got float32[3]"});
  EXPECT_TRUE(session_->run({rows(2), {"bias", Tensor(DType::kF32, {5})}}).ok());
}

TEST_F(SessionTest, GraphsOfFixedBatchRunWhateverTheProfile) {
  auto graph = std::make_shared<Graph>(*engine_->graph);
  for (Value& v : graph->values)
    for (Dim& d : *v.shape) d = Dim::of(d.at(1));
  engine_->graph = graph;
  engine_->info.profiles = {{4, 4, 4}};
  open({});
  EXPECT_EQ(session_->options().max_batch, 1);
  EXPECT_TRUE(session_->run({rows(1), bias()}).ok());
  expect_error({rows(2), bias()}, {"expected float32[1,3], got float32[2,3]"});
}

TEST_F(SessionTest, NonFiniteInputsAreCounted) {
  NamedTensor x = rows(8, 1);
  auto values = x.tensor.as_mutable<float>();
  values[5] = std::nanf("");
  values[7] = -INFINITY;
  expect_error({x, bias()}, {"input 'x'", "2 of 24 elements", "first at index 5"});
  values[5] = values[7] = std::numeric_limits<float>::max();
  EXPECT_TRUE(session_->run({x, bias()}).ok());
  values[23] = INFINITY;
  open({.check_finite = false});
  EXPECT_TRUE(session_->run({x, bias()}).ok());
}

TEST_F(SessionTest, BadOptionsAreUsageErrors) {
  const std::pair<SessionOptions, std::string> cases[] = {
      {{.streams = 0}, "streams: 0"},        {{.streams = -1}, "streams: -1"},
      {{.threads = 0}, "threads: 0"},        {{.threads = 1 << 20}, "threads: 1048576"},
      {{.max_batch = 17}, "max_batch: 17"},  {{.max_batch = -1}, "max_batch: -1"},
      {{.workspace_bytes = -1}, "-1 bytes"},
  };
  for (const auto& [options, message] : cases) {
    auto session = Session::create(engine_, program_, options);
    ASSERT_EQ(session.status().code(), Code::kUsage) << message;
    EXPECT_THAT(session.status().message(), HasSubstr(message));
  }
}

TEST_F(SessionTest, WorkspaceIsAHardCapAndNamesTheSmallestThatWorks) {
  // One stream at batch 16 with 2 threads takes 16,020 bytes (see FakeProgram::plan).
  const SessionOptions options{.streams = 3, .threads = 2, .workspace_bytes = 48059};
  auto session = Session::create(engine_, program_, options);
  ASSERT_EQ(session.status().code(), Code::kResource);
  EXPECT_THAT(session.status().message(), HasSubstr("need 48060 bytes"));
  EXPECT_THAT(session.status().message(), HasSubstr("--workspace 48060"));
  program_->options.clear();
  open({.streams = 3, .threads = 2, .workspace_bytes = 48060});
  EXPECT_EQ(session_->planned_bytes(), 48060);
  ASSERT_EQ(program_->options.size(), 3u);
  EXPECT_EQ(program_->options[2].workspace_bytes, 16020);
  EXPECT_EQ(program_->options[2].max_batch, 16);
  EXPECT_EQ(program_->options[2].threads, 2);

  engine_->info.workspace_bytes = 100;  // the cap of the build, unless another is given
  EXPECT_EQ(Session::create(engine_, program_).status().code(), Code::kResource);
}

TEST_F(SessionTest, FailuresOfTheProgramComeThroughAndFreeTheStream) {
  program_->result = resource_error("out of luck");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(session_->run({rows(1), bias()}).status().message(), "out of luck");
  program_->result = {};
  EXPECT_TRUE(session_->run({rows(1), bias()}).ok());
}

TEST_F(SessionTest, TheObserverIsPassedOn) {
  struct Seen : Observer {
    void on_value(ValueId, const TensorView& v) override { shape = v.shape; }
    Shape shape;
  } seen;
  ASSERT_TRUE(session_->run({rows(2), bias()}, &seen).ok());
  EXPECT_EQ(seen.shape, Shape{2});
}

}  // namespace
}  // namespace vitrail
