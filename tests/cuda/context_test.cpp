// SPDX-License-Identifier: Apache-2.0
// Which batch sizes a context makes ready, and that nothing is left to be made when one of them runs.
#include "backends/cuda/context.h"

#include <gmock/gmock.h>

#include <cmath>

#include "../passes/graph_builder.h"
#include "backends/cuda/backend.h"
#include "backends/cuda/compile.h"
#include "cuda/device_buffer.h"

namespace vitrail::cuda {
namespace {

using namespace vitrail::testing;
using ::testing::ElementsAre;

std::vector<int64_t> sizes(Op op, bool over_the_batch = false) {
  Target target;
  target.device = {"H100", 90, 132, 0, 13000, 13000};
  target.precision = *parse_precision("fp32", target.device);
  GraphBuilder b;
  std::vector<ValueId> inputs{b.input("x", {kN, 8_d})};
  if (over_the_batch) inputs.push_back(b.ints({0}));
  b.output(b.node(op, inputs));
  EXPECT_TRUE(infer_shapes(b.graph).ok());
  EXPECT_TRUE(rewrite(b.graph, target, {}).ok());
  const auto program = CudaProgram::create(std::make_shared<const Graph>(b.graph), target.device, true);
  EXPECT_TRUE(program.ok()) << program.status().message();
  return sizes_to_bind(static_cast<const CudaProgram&>(**program), 5);
}

TEST(Context, EveryBatchSizeIsMadeReadyWhereBatchesCannotBeCut) {
  EXPECT_THAT(sizes(Op::Relu), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(sizes(Op::Softplus), ElementsAre(1, 2, 3, 4, 5)) << "runs on the host";
  EXPECT_THAT(sizes(Op::ReduceMean, true), ElementsAre(1, 2, 3, 4, 5));
}

using HostLayers = CudaTest;

TEST_F(HostLayers, TakeNoDeviceMemoryOnceLoaded) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 4096_d});
  const ValueId host = b.node(Op::Softplus, {b.node(Op::Relu, {x})});
  b.output(b.node(Op::Add, {host, b.real(2)}));
  ASSERT_TRUE(infer_shapes(b.graph).ok());
  const auto backend = make_cuda_backend();
  ASSERT_TRUE(backend->compile(b.graph, {}).ok());
  const auto program = backend->load(std::make_shared<const Graph>(b.graph), {});
  ASSERT_TRUE(program.ok()) << program.status().message();
  const auto context = (*program)->create_context({.max_batch = 64});
  ASSERT_TRUE(context.ok()) << context.status().message();

  Tensor in(DType::kF32, {64, 4096}), out(DType::kF32, {64, 4096});
  for (size_t i = 0; i < in.as<float>().size(); ++i)
    in.as_mutable<float>()[i] = std::sin(static_cast<float>(i));
  const auto free_bytes = [] {
    size_t free = 0, total = 0;
    EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
    return free;
  };
  const size_t before = free_bytes();
  for (int64_t batch : {3, 64, 17, 1}) {
    const TensorView from{DType::kF32, {batch, 4096}, in.data()};
    const MutableTensorView to{DType::kF32, {batch, 4096}, out.mutable_data()};
    ASSERT_TRUE((*context)->run(batch, {&from, 1}, {&to, 1}, nullptr).ok());
    EXPECT_EQ(free_bytes(), before) << "batch " << batch;
    for (size_t i = 0; i < static_cast<size_t>(batch) * 4096; ++i)
      ASSERT_NEAR(out.as<float>()[i], std::log1p(std::exp(std::fmax(in.as<float>()[i], 0.f))) + 2, 1e-5f)
          << i;
    std::fill(out.as_mutable<float>().begin(), out.as_mutable<float>().end(), 0.f);
  }
}

}  // namespace
}  // namespace vitrail::cuda
