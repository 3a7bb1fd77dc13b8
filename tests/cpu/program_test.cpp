// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "../passes/graph_builder.h"
#include "backends/cpu/backend.h"
#include "tools/count_allocations.h"

namespace vitrail::testing {
namespace {

// One transformer block with all of its kernels.
GraphBuilder block() {
  GraphBuilder b;
  const ValueId image = b.input("x", {kN, 3_d, 8_d, 8_d});
  const ValueId x =
      b.node(Op::PatchEmbed, {image, b.weight({16, 3, 4, 4}), b.weight({16}, 2), b.weight({5, 16}, 3)},
             {{"kernel_shape", Ints{4, 4}},
              {"strides", Ints{4, 4}},
              {"out_channels", int64_t{16}},
              {"prefix", int64_t{1}}});
  const ValueId n = b.node(Op::LayerNormalization, {x, b.weight({16}), b.weight({16}, 2)});
  const ValueId qkv = b.node(Op::Linear, {n, b.weight({16, 48}), b.weight({48}, 2)});
  const ValueId a = b.node(Op::MultiHeadAttention, {qkv, qkv, qkv},
                           {{"heads", int64_t{2}},
                            {"head_dim", int64_t{8}},
                            {"k_offset", int64_t{16}},
                            {"v_offset", int64_t{32}},
                            {"scale", 0.3f}});
  const ValueId y = b.node(Op::Linear, {a, b.weight({16, 16}), b.weight({16}, 2), x});
  const ValueId h =
      b.node(Op::Linear, {y, b.weight({16, 64}), b.weight({64}, 2)}, {{"activation", std::string("gelu")}});
  const ValueId z = b.node(Op::Linear, {h, b.weight({64, 16}), b.weight({16}, 2), y});
  b.output(b.node(Op::Gather, {z, b.integer(0)}, {{"axis", int64_t{1}}}));
  return b;
}

std::shared_ptr<const Program> load(Graph graph) {
  EXPECT_TRUE(infer_shapes(graph).ok());
  const auto backend = make_cpu_backend();
  EXPECT_TRUE(backend->compile(graph, {}).ok());
  auto program = backend->load(std::make_shared<const Graph>(std::move(graph)), {});
  EXPECT_TRUE(program.ok()) << program.status().message();
  return std::move(program).value();
}

TEST(CpuProgram, AllocatesNothingOnceLoaded) {
  const auto program = load(block().graph);
  const auto context = program->create_context({.max_batch = 4, .threads = 2});
  ASSERT_TRUE(context.ok());
  Tensor x(DType::kF32, {4, 3, 8, 8}), y(DType::kF32, {4, 16});
  const auto run = [&](int64_t batch) {
    const TensorView in{DType::kF32, {batch, 3, 8, 8}, x.data()};
    const MutableTensorView out{DType::kF32, {batch, 16}, y.mutable_data()};
    const int64_t before = allocations;
    EXPECT_TRUE((*context)->run(batch, {&in, 1}, {&out, 1}, nullptr).ok());
    return allocations - before;
  };
  for (int64_t batch : {2, 4, 1, 3, 4}) EXPECT_EQ(run(batch), 0) << "batch " << batch;
  const int64_t before = allocations;
  const Tensor another(DType::kF32, {1});
  EXPECT_GT(allocations, before) << "the counter does not count";
}

TEST(CpuProgram, WorkspaceIsAHardCapAndTheErrorNamesWhatWorks) {
  const auto program = load(block().graph);
  const auto plan = program->plan(4, 2);
  ASSERT_TRUE(plan.ok());
  EXPECT_LT(plan->arena_bytes, plan->unshared_bytes);
  EXPECT_TRUE(program->create_context({.max_batch = 4, .workspace_bytes = plan->total(), .threads = 2}).ok());
  const auto small =
      program->create_context({.max_batch = 4, .workspace_bytes = plan->total() - 1, .threads = 2});
  ASSERT_FALSE(small.ok());
  EXPECT_EQ(small.status().code(), Code::kResource);
  EXPECT_NE(small.status().message().find(std::to_string(plan->total())), std::string::npos);
}

TEST(CpuProgram, RowsDoNotDependOnTheirBatchOrThreads) {
  const auto program = load(block().graph);
  Tensor x(DType::kF32, {4, 3, 8, 8});
  for (size_t i = 0; i < x.as<float>().size(); ++i)
    x.as_mutable<float>()[i] = std::sin(static_cast<float>(i));
  Tensor together(DType::kF32, {4, 16});
  {
    const auto context = program->create_context({.max_batch = 4, .threads = 3});
    const TensorView in = x.view();
    const MutableTensorView out = together.mutable_view();
    ASSERT_TRUE((*context)->run(4, {&in, 1}, {&out, 1}, nullptr).ok());
  }
  const auto context = program->create_context({.max_batch = 1, .threads = 1});
  for (int64_t row = 0; row < 4; ++row) {
    Tensor alone(DType::kF32, {1, 16});
    const TensorView in{DType::kF32, {1, 3, 8, 8}, x.as<float>().data() + row * 192};
    const MutableTensorView out = alone.mutable_view();
    ASSERT_TRUE((*context)->run(1, {&in, 1}, {&out, 1}, nullptr).ok());
    for (size_t i = 0; i < 16; ++i)
      EXPECT_EQ(alone.as<float>()[i], together.as<float>()[static_cast<size_t>(row) * 16 + i]);
  }
}

// 4 MiB between the layers of one image: batches run image by image, in the memory of one.
TEST(CpuProgram, LargeActivationsRunInSlices) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 512_d, 8_d});
  const ValueId wide = b.node(Op::Linear, {x, b.weight({8, 2048})}, {{"activation", std::string("gelu")}});
  b.output(b.node(Op::Linear, {wide, b.weight({2048, 8}, 2), kNoValue, x}));
  const auto program = load(b.graph);
  EXPECT_EQ(program->plan(5, 1)->total(), program->plan(1, 1)->total());
  Tensor in(DType::kF32, {5, 512, 8}), together(DType::kF32, {5, 512, 8}), alone(DType::kF32, {1, 512, 8});
  for (size_t i = 0; i < in.as<float>().size(); ++i)
    in.as_mutable<float>()[i] = std::sin(static_cast<float>(i));
  const auto context = program->create_context({.max_batch = 5, .threads = 2});
  const TensorView all = in.view();
  const MutableTensorView out = together.mutable_view();
  ASSERT_TRUE((*context)->run(5, {&all, 1}, {&out, 1}, nullptr).ok());
  for (int64_t row = 0; row < 5; ++row) {
    const TensorView one{DType::kF32, {1, 512, 8}, in.as<float>().data() + row * 4096};
    const MutableTensorView to = alone.mutable_view();
    ASSERT_TRUE((*context)->run(1, {&one, 1}, {&to, 1}, nullptr).ok());
    for (size_t i = 0; i < 4096; ++i)
      ASSERT_EQ(alone.as<float>()[i], together.as<float>()[static_cast<size_t>(row) * 4096 + i])
          << "row " << row;
  }
}

// As large, but one layer looks across the batch: it must see all of it.
TEST(CpuProgram, LayersThatMixRowsRunWhole) {
  GraphBuilder b;
  const ValueId wide = b.node(Op::Linear, {b.input("x", {kN, 512_d, 8_d}), b.weight({8, 2048})});
  const ValueId turned = b.node(Op::Transpose, {wide}, {{"perm", Ints{1, 0, 2}}});
  b.output(b.node(Op::Transpose, {turned}, {{"perm", Ints{1, 0, 2}}}));
  const auto program = load(b.graph);
  EXPECT_GT(program->plan(5, 1)->total(), 4 * program->plan(1, 1)->total());
}

TEST(CpuProgram, AGraphThatNamesNoKernelIsAnError) {
  GraphBuilder b = block();
  ASSERT_TRUE(infer_shapes(b.graph).ok());
  const auto program = make_cpu_backend()->load(std::make_shared<const Graph>(b.graph), {});
  ASSERT_FALSE(program.ok());
  EXPECT_NE(program.status().message().find("rebuild"), std::string::npos);
}

}  // namespace
}  // namespace vitrail::testing
