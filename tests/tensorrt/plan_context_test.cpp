// SPDX-License-Identifier: Apache-2.0
// On a GPU: a stream answers rightly whatever batch sizes come one after the other. Before 10 they share one execution context,
// whose shapes change; a size that stays is run by a CUDA graph.
#include <gtest/gtest.h>

#include <limits>

#include "backends/cuda/device.h"
#include "backends/tensorrt/module/library.h"
#include "backends/tensorrt/module/plan_backend.h"

namespace vitrail::tensorrt {
namespace {

constexpr int64_t kColumns = 4, kMaxBatch = 4;

// y = x w: whole numbers, so exact in every order.
Graph product() {
  Graph g;
  const ValueId x = g.add_value({"x", DType::kF32, SymShape{Dim::batch(), Dim::of(kColumns)}, {}, {}});
  const ValueId w = g.add_constant("w", Tensor::f32({kColumns, 2}, {1, -1, 2, -2, 3, -3, 4, -4}));
  const ValueId y = g.add_value({"y", DType::kF32, SymShape{Dim::batch(), Dim::of(2)}, {}, {}});
  g.inputs = {x};
  g.outputs = {y};
  g.nodes = {{Op::MatMul, "product", {x, w}, {y}, {}, ""}};
  return g;
}

TEST(PlanContext, BatchSizesFollowOneAnotherInAnyOrder) {
  const auto library = Library::get();
  if (!library.ok()) GTEST_SKIP() << library.status().message();
  if ((*library)->is_rtx()) GTEST_SKIP() << "TensorRT-RTX does not run on every GPU";
  if (const auto device = cuda::current_device(); !device.ok()) GTEST_SKIP() << device.status().message();
  auto graph = std::make_shared<Graph>(product());
  PlanOptions plan;
  plan.profiles = {{1, 2, kMaxBatch}};
  CompileOptions options;
  options.plan = std::make_shared<const PlanOptions>(plan);
  const PlanBackend backend;
  const auto built = backend.compile(*graph, options);
  ASSERT_TRUE(built.ok()) << built.status().message();
  const auto program = backend.load(graph, {});
  ASSERT_TRUE(program.ok()) << program.status().message();
  ContextOptions context_options;
  context_options.max_batch = kMaxBatch;
  context_options.workspace_bytes = std::numeric_limits<int64_t>::max();
  const auto context = (*program)->create_context(context_options);
  ASSERT_TRUE(context.ok()) << context.status().message();
  float first = 0;
  for (int64_t batch : {1, 1, 1, 4, 4, 4, 4, 2, 1, 4, 3, 3, 3, 3, 1, 1}) {
    std::vector<float> x(static_cast<size_t>(batch * kColumns));
    for (float& v : x) v = first++;
    Tensor in = Tensor::f32({batch, kColumns}, x), out = Tensor::f32({batch, 2}, std::vector<float>(2 * static_cast<size_t>(batch), -7));
    const TensorView inputs[] = {in.view()};
    const MutableTensorView outputs[] = {out.mutable_view()};
    ASSERT_TRUE((*context)->run(batch, inputs, outputs, nullptr).ok());
    for (size_t r = 0; r < static_cast<size_t>(batch); ++r) {
      const float expected = x[4 * r] + 2 * x[4 * r + 1] + 3 * x[4 * r + 2] + 4 * x[4 * r + 3];
      EXPECT_EQ(out.as<float>()[2 * r], expected) << "row " << r << " of " << batch;
      EXPECT_EQ(out.as<float>()[2 * r + 1], -expected) << "row " << r << " of " << batch;
    }
  }
}

}  // namespace
}  // namespace vitrail::tensorrt
