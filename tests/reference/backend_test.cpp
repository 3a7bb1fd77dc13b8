// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "backends/reference/execute.h"
#include "backends/reference/run.h"
#include "core/cancel.h"

namespace vitrail {
namespace {

// y = Relu(x · W), z = y + y for x [N,64]; W [64,128] of ones.
struct Sample {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
  ValueId x, w, product, y, z;

  Sample() {
    const auto value = [&](const char* name, int64_t width) {
      Value v;
      v.name = name, v.dtype = DType::kF32, v.shape = SymShape{Dim::batch(), Dim::of(width)};
      return graph->add_value(v);
    };
    Tensor ones(DType::kF32, {64, 128});
    for (float& f : ones.as_mutable<float>()) f = 1;
    x = value("x", 64), w = graph->add_constant("w", ones), product = value("product", 128);
    y = value("y", 128), z = value("z", 128);
    graph->nodes = {{Op::MatMul, "fc", {x, w}, {product}, {}, "head"},
                    {Op::Relu, "act", {product}, {y}, {}, "head"},
                    {Op::Add, "twice", {y, y}, {z}, {}, ""}};
    graph->inputs = {x}, graph->outputs = {y, z};
  }
};

struct Recorder : Observer {
  std::vector<ValueId> values;
  std::vector<size_t> layers;
  bool wants_values() const override { return true; }
  bool wants_times() const override { return true; }
  void on_value(ValueId id, const TensorView& content) override {
    EXPECT_NE(content.data, nullptr);
    values.push_back(id);
  }
  void on_layer(size_t node, double microseconds) override {
    EXPECT_GE(microseconds, 0);
    layers.push_back(node);
  }
};

TEST(ReferenceBackend, CompilesLoadsAndRuns) {
  Sample sample;
  const auto backend = make_reference_backend();
  EXPECT_TRUE(backend->available().ok());
  auto reports = backend->compile(*sample.graph, {});
  ASSERT_TRUE(reports.ok());
  ASSERT_EQ(reports->size(), 3u);
  EXPECT_EQ((*reports)[0].name, "fc");
  EXPECT_EQ((*reports)[0].op, "MatMul");
  EXPECT_EQ((*reports)[0].flops_per_image, 2.0 * 64 * 128);
  for (const Node& node : sample.graph->nodes) EXPECT_EQ(node.text("kernel", ""), "reference");

  auto program = backend->load(sample.graph, {});
  ASSERT_TRUE(program.ok());
  auto context = (*program)->create_context({4, int64_t{1} << 30, 2});
  ASSERT_TRUE(context.ok()) << context.status().message();
  for (int64_t batch : {1, 4}) {
    std::vector<float> in(static_cast<size_t>(batch * 64), 0.5f), y(static_cast<size_t>(batch * 128)),
        z(y.size());
    const TensorView inputs[] = {{DType::kF32, {batch, 64}, in.data()}};
    const MutableTensorView outputs[] = {{DType::kF32, {batch, 128}, y.data()},
                                         {DType::kF32, {batch, 128}, z.data()}};
    Recorder recorder;
    const Status status = (*context)->run(batch, inputs, outputs, &recorder);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_THAT(y, testing::Each(32.0f));
    EXPECT_THAT(z, testing::Each(64.0f));
    EXPECT_EQ(recorder.values, (std::vector<ValueId>{sample.product, sample.y, sample.z}));
    EXPECT_EQ(recorder.layers, (std::vector<size_t>{0, 1, 2}));
  }
}

TEST(ReferenceBackend, PlansWhatLivesAtOnce) {
  Sample sample;
  auto program = make_reference_backend()->load(sample.graph, {});
  ASSERT_TRUE(program.ok());
  auto plan = (*program)->plan(8, 1);
  ASSERT_TRUE(plan.ok());
  const int64_t one = 8 * 128 * 4;
  EXPECT_EQ(plan->values.size(), 3u);
  EXPECT_EQ(plan->unshared_bytes, 3 * one);
  EXPECT_EQ(plan->lower_bound_bytes, 2 * one);
  EXPECT_EQ(plan->arena_bytes, 2 * one);
  EXPECT_GT(plan->scratch_bytes, 64 * 64 * 8);  // a packed block of the product
  EXPECT_FALSE((*program)->plan(0, 1).ok());
}

// The input's storage has one owner left once the first layer, its last reader, has run; the second must find
// it gone.
TEST(ReferenceBackend, FreesValuesAfterTheirLastReader) {
  struct Watcher : Observer {
    std::vector<Tensor> inputs;
    std::vector<bool> gone;
    std::weak_ptr<float[]> storage;
    bool wants_values() const override { return true; }
    void on_value(ValueId, const TensorView&) override {
      inputs.clear();
      gone.push_back(storage.expired());
    }
  } watcher;
  Sample sample;
  auto storage = std::make_shared<float[]>(64);
  watcher.storage = storage;
  watcher.inputs.emplace_back(DType::kF32, Shape{1, 64}, storage.get(), storage);
  storage.reset();
  const auto sink = [](size_t, const Tensor&) { return Status(); };
  ASSERT_TRUE(reference::execute(*sample.graph, reference::last_readers(*sample.graph), watcher.inputs, sink,
                                 &watcher, nullptr)
                  .ok());
  EXPECT_EQ(watcher.gone, (std::vector<bool>{false, true, true}));
}

TEST(ReferenceBackend, TheCapIsHardAndTheSmallestOneWorks) {
  Sample sample;
  auto program = make_reference_backend()->load(sample.graph, {});
  const int64_t needed = (*program)->plan(8, 1)->total();
  auto refused = (*program)->create_context({8, needed - 1, 1});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), Code::kResource);
  EXPECT_THAT(refused.status().message(), testing::HasSubstr("--workspace " + std::to_string(needed)));
  EXPECT_TRUE((*program)->create_context({8, needed, 1}).ok());
  EXPECT_FALSE((*program)->create_context({8, needed, 0}).ok());
}

TEST(ReferenceBackend, RefusesWhatItCannotKeep) {
  Sample sample;
  CompileOptions options;
  options.precision = "fp16";
  EXPECT_EQ(make_reference_backend()->compile(*sample.graph, options).status().code(), Code::kUnavailable);
  sample.graph->values[static_cast<size_t>(sample.y)].shape.reset();
  auto program = make_reference_backend()->load(sample.graph, {});
  EXPECT_THAT((*program)->plan(1, 1).status().message(), testing::HasSubstr("act"));
  sample.graph->nodes[0].inputs[0] = 99;
  EXPECT_FALSE(make_reference_backend()->load(sample.graph, {}).ok());
}

TEST(RunGraph, GivesAllOutputsByName) {
  Sample sample;
  Tensor x(DType::kF32, {2, 64});
  for (float& f : x.as_mutable<float>()) f = -1;
  auto outputs = run_graph(*sample.graph, {{"x", x}});
  ASSERT_TRUE(outputs.ok()) << outputs.status().message();
  ASSERT_EQ(outputs->size(), 2u);
  EXPECT_EQ(outputs->at("z").shape(), (Shape{2, 128}));
  EXPECT_EQ(outputs->at("y").as<float>()[0], 0.0f);
}

TEST(RunGraph, OutputsMayBeInputsOrConstants) {
  Sample sample;
  sample.graph->outputs = {sample.x, sample.w, sample.z};
  auto outputs = run_graph(*sample.graph, {{"x", Tensor(DType::kF32, {1, 64})}});
  ASSERT_TRUE(outputs.ok());
  EXPECT_EQ(outputs->at("w").as<float>()[0], 1.0f);
  EXPECT_EQ(outputs->at("x").shape(), (Shape{1, 64}));
}

TEST(RunGraph, WrongInputsAreErrors) {
  Sample sample;
  EXPECT_EQ(run_graph(*sample.graph, {}).status().code(), Code::kBadInput);
  EXPECT_EQ(run_graph(*sample.graph, {{"q", Tensor(DType::kF32, {1, 64})}}).status().code(), Code::kBadInput);
  EXPECT_EQ(run_graph(*sample.graph, {{"x", Tensor(DType::kF32, {1, 63})}}).status().code(), Code::kBadInput);
  EXPECT_EQ(run_graph(*sample.graph, {{"x", Tensor(DType::kI64, {1, 64})}}).status().code(), Code::kBadInput);
}

TEST(RunGraph, ThreadsDoNotChangeABit) {
  Sample sample;
  Tensor x(DType::kF32, {300, 64}), w(DType::kF32, {64, 128});
  float next = 0.1f;
  for (Tensor* t : {&x, &w})
    for (float& f : t->as_mutable<float>()) f = next = std::fmod(next * 1.37f + 0.11f, 1.0f) - 0.5f;
  sample.graph->values[static_cast<size_t>(sample.w)].constant = w;
  auto one = run_graph(*sample.graph, {{"x", x}}, nullptr, 1),
       four = run_graph(*sample.graph, {{"x", x}}, nullptr, 4);
  ASSERT_TRUE(one.ok() && four.ok());
  EXPECT_TRUE(std::ranges::equal(one->at("z").as<float>(), four->at("z").as<float>()));
}

TEST(RunGraph, StopsWhenInterrupted) {
  Sample sample;
  cancel::request();
  const Status status = run_graph(*sample.graph, {{"x", Tensor(DType::kF32, {1, 64})}}).status();
  cancel::reset();
  EXPECT_EQ(status.code(), Code::kCancelled);
}

}  // namespace
}  // namespace vitrail
