// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/plan_weights.h"

#include <gmock/gmock.h>

#include <cstring>

#include "backends/cuda/device.h"
#include "backends/tensorrt/module/build_plan.h"
#include "backends/tensorrt/module/plan_backend.h"
#include "graph/edit.h"

namespace vitrail::tensorrt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// y = x w + b, in two layers.
Graph product(float first) {
  Graph g;
  const SymShape in{Dim::batch(), Dim::of(4)}, out{Dim::batch(), Dim::of(2)};
  const ValueId x = g.add_value({"x", DType::kF32, in, {}, {}});
  const ValueId w = g.add_constant("w", Tensor::f32({4, 2}, {first, 1, 2, 3, 4, 5, 6, 7}));
  const ValueId b = g.add_constant("b", Tensor::f32({2}, {0.5f, first}));
  const ValueId z = g.add_value({"z", DType::kF32, out, {}, {}});
  const ValueId y = g.add_value({"y", DType::kF32, out, {}, {}});
  g.inputs = {x};
  g.outputs = {y};
  g.nodes = {{Op::MatMul, "product", {x, w}, {z}, {}, ""}, {Op::Add, "sum", {z, b}, {y}, {}, ""}};
  return g;
}

// The Plan node that a build of product() leaves, with bytes for a plan that nobody reads.
Graph compiled(std::vector<NamedTensor> weights, bool stripped) {
  Graph g = product(0);
  Node node;
  node.op = Op::Plan;
  node.name = "tensorrt";
  node.inputs = {add_weight(g, "tensorrt.plan", Tensor(DType::kU8, {16})), g.inputs[0]};
  describe_weights(weights, node);
  if (stripped) {
    node.attributes[kStripped] = int64_t{1};
    attach_weights(std::move(weights), g, node);
  }
  node.outputs = g.outputs;
  g.nodes = {node};
  compact(g);
  return g;
}

std::vector<NamedTensor> some_weights() {
  return {{"w", Tensor::f32({2, 2}, {1, 2, 3, 4})}, {"b", Tensor::f32({2}, {5, 6})}};
}

TEST(PlanWeights, AreFoundAgainInAStrippedEngine) {
  const auto read = read_weights(compiled(some_weights(), true));
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_TRUE(read->stripped);
  EXPECT_THAT(read->names, ElementsAre("w", "b"));
  ASSERT_EQ(read->tensors.size(), 2u);
  EXPECT_THAT(read->tensors[1].as<float>(), ElementsAre(5, 6));
}

TEST(PlanWeights, APlanThatHoldsThemKeepsNamesAndHashesAlone) {
  const auto read = read_weights(compiled(some_weights(), false));
  ASSERT_TRUE(read.ok());
  EXPECT_FALSE(read->stripped);
  EXPECT_TRUE(read->tensors.empty());
  EXPECT_EQ(read->hashes.size(), 2u);
  EXPECT_NE(read->hashes[0], read->hashes[1]);
}

TEST(PlanWeights, DamageIsAnError) {
  Graph lost = compiled(some_weights(), true);
  lost.nodes[0].inputs.pop_back();
  EXPECT_THAT(read_weights(lost).status().message(), HasSubstr("weights are damaged"));
  Graph stripped = compiled(some_weights(), false);
  stripped.nodes[0].attributes[kStripped] = int64_t{1};
  EXPECT_THAT(read_weights(stripped).status().message(), HasSubstr("weights are damaged"));
  Graph moved = compiled(some_weights(), true);
  moved.nodes[0].inputs.back() = moved.inputs[0];
  EXPECT_THAT(read_weights(moved).status().message(), HasSubstr("weight 'b' is missing"));
}

TEST(PlanWeights, TakeTheNamesOfThePlan) {
  auto known = read_weights(compiled(some_weights(), true));
  ASSERT_TRUE(known.ok());
  std::vector<NamedTensor> now{{"onnx::MatMul_7", Tensor::f32({2, 2}, {9, 9, 9, 9})}, {"c", Tensor::f32({2}, {9, 9})}};
  ASSERT_TRUE(use_plan_names(*known, now).ok());
  EXPECT_EQ(now[0].name, "w");
  now[0].tensor = Tensor::f32({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(use_plan_names(*known, now).message(),
              HasSubstr("weight 'w' is float32 [2,2] in the engine and float32 [2,3] in the model"));
  now.pop_back();
  EXPECT_THAT(use_plan_names(*known, now).message(), HasSubstr("takes 2 weights, the model has 1"));
  EXPECT_THAT(use_plan_names(PlanWeights(), now).message(), HasSubstr("--refit"));
}

// What reaches the refitter: the numbers of the graph, in the type that the network wants.
TEST(PlanWeights, AreTheGraphsNumbersInTheTypeOfTheNetwork) {
  const auto library = Library::get();
  if (!library.ok()) GTEST_SKIP() << library.status().message();
  CompileOptions options;
  const auto full = plan_weights(**library, product(8), options);
  if (!full.ok() && !(*library)->is_rtx()) GTEST_SKIP() << "TensorRT's builder wants a GPU: " << full.status().message();
  ASSERT_TRUE(full.ok()) << full.status().message();
  ASSERT_EQ(full->size(), 2u);
  EXPECT_EQ((*full)[0].name, "w");
  EXPECT_THAT((*full)[0].tensor.as<float>(), ElementsAre(8, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT((*full)[1].tensor.as<float>(), ElementsAre(0.5f, 8));
  options.precision = "fp16";
  const auto half = plan_weights(**library, product(8), options);
  ASSERT_TRUE(half.ok()) << half.status().message();
  EXPECT_EQ((*half)[0].tensor.dtype(), kStronglyTyped ? DType::kF16 : DType::kF32);
  EXPECT_EQ((*half)[0].tensor.count(), 8);
  if (kStronglyTyped) {
    uint16_t bits = 0;
    std::memcpy(&bits, (*half)[0].tensor.data(), sizeof bits);
    EXPECT_EQ(bits, 0x4800);  // 8 in float16
  }
}

// Without a GPU the plan stays as it is, and the new weights lie beside it until it is loaded.
TEST(PlanWeights, ARefitWithoutAGpuKeepsThePlanAndHoldsTheNewWeights) {
  const auto library = Library::get();
  if (!library.ok()) GTEST_SKIP() << library.status().message();
  if (cuda::current_device().ok()) GTEST_SKIP() << "there is a GPU: the weights go into the plan, which must be a real one";
  const auto old = plan_weights(**library, product(0), {});
  if (!old.ok()) GTEST_SKIP() << "TensorRT's builder wants a GPU: " << old.status().message();
  for (const bool stripped : {false, true}) {
    Engine engine;
    engine.graph = std::make_shared<const Graph>(compiled(*old, stripped));
    engine.info.layers = {{"product", "MatMul", "", "kernel", "float32", {}, 16}};
    Graph graph = product(8);
    const auto layers = PlanBackend().refit(engine, graph, {});
    ASSERT_TRUE(layers.ok()) << layers.status().message();
    EXPECT_EQ(layers->at(0).name, "product");
    const auto read = read_weights(graph);
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(read->stripped, stripped);
    EXPECT_THAT(read->names, ElementsAre("w", "b"));
    ASSERT_EQ(read->tensors.size(), 2u);
    EXPECT_THAT(read->tensors[0].as<float>(), ElementsAre(8, 1, 2, 3, 4, 5, 6, 7));
    // The hashes are still those of what the plan was built with.
    EXPECT_EQ(read->hashes, read_weights(*engine.graph)->hashes);
    // And again, onto the engine that was refitted.
    Engine refitted;
    refitted.graph = std::make_shared<const Graph>(graph);
    Graph third = product(9);
    ASSERT_TRUE(PlanBackend().refit(refitted, third, {}).ok());
    EXPECT_THAT(read_weights(third)->tensors[1].as<float>(), ElementsAre(0.5f, 9));
    EXPECT_EQ(third.nodes[0].inputs.size(), 4u);
  }
}

}  // namespace
}  // namespace vitrail::tensorrt
