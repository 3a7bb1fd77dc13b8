// SPDX-License-Identifier: Apache-2.0
// A kernel of the CPU backend's list, behind its node, against the reference backend: all ISAs, two batch
// sizes.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

#include "../passes/graph_builder.h"
#include "backends/cpu/backend.h"
#include "backends/cpu/isa.h"
#include "backends/cpu/step.h"
#include "backends/reference/run.h"

namespace vitrail::testing {

inline std::vector<NamedTensor> random_inputs(const Graph& graph, int64_t batch) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<NamedTensor> inputs;
  for (ValueId id : graph.inputs) {
    Tensor t(graph.value(id).dtype, at_batch(*graph.value(id).shape, batch));
    if (t.dtype() == DType::kU8 || t.dtype() == DType::kI8)
      for (int64_t i = 0; i < t.count(); ++i)
        static_cast<uint8_t*>(t.mutable_data())[i] = static_cast<uint8_t>(random() & 255);
    else
      for (float& v : t.as_mutable<float>()) v = normal(random);
    inputs.push_back({graph.value(id).name, t});
  }
  return inputs;
}

inline std::set<std::string> tested_kernels;  // "<op> <kernel>"

inline double number_at(const Tensor& t, size_t i) {
  if (t.dtype() == DType::kU8) return t.as<uint8_t>()[i];
  return t.dtype() == DType::kI8 ? t.as<int8_t>()[i] : t.as<float>()[i];
}

// Compiles for the CPU, expects `kernel` for the last node, and compares the output with the reference's. Of
// bytes, one in a hundred may lie on the other side of a tie. Where bytes on the way may do so, floats may
// differ by `step`, one in ten.
inline void expect_kernel(GraphBuilder b, const std::string& kernel, const std::string& output = "",
                          double step = 0) {
  b.output(b.graph.nodes.back().outputs[0], output);
  ASSERT_TRUE(infer_shapes(b.graph).ok()) << infer_shapes(b.graph).message();
  const auto backend = make_cpu_backend();
  Graph compiled = b.graph;
  const auto reports = backend->compile(compiled, {});
  ASSERT_TRUE(reports.ok()) << reports.status().message();
  ASSERT_EQ(reports->back().kernel, kernel)
      << (reports->back().refused.empty() ? "" : reports->back().refused[0].reason);
  tested_kernels.insert(reports->back().op + " " + kernel);
  for (cpu::Isa isa : cpu::all_isas()) {
    if (!cpu::isa_supported(isa)) continue;
    const auto program =
        backend->load(std::make_shared<const Graph>(compiled), {std::string(cpu::isa_name(isa))});
    ASSERT_TRUE(program.ok()) << program.status().message();
    const auto context = (*program)->create_context({.max_batch = 3, .threads = 2});
    ASSERT_TRUE(context.ok()) << context.status().message();
    for (int64_t batch : {3, 1}) {
      const auto inputs = random_inputs(b.graph, batch);
      const auto want = run_graph(b.graph, inputs);
      ASSERT_TRUE(want.ok()) << want.status().message();
      const Tensor& expected = want->begin()->second;
      Tensor got(expected.dtype(), expected.shape());
      std::vector<TensorView> views;
      for (const NamedTensor& t : inputs) views.push_back(t.tensor.view());
      const MutableTensorView out = got.mutable_view();
      const Status status = (*context)->run(batch, views, {&out, 1}, nullptr);
      ASSERT_TRUE(status.ok()) << status.message();
      const bool bytes = expected.dtype() != DType::kF32;
      int64_t ties = 0;
      for (int64_t i = 0; i < expected.count(); ++i) {
        const double number = number_at(expected, static_cast<size_t>(i)),
                     made = number_at(got, static_cast<size_t>(i));
        const double rounding = 2e-5 * (1 + std::abs(number));
        ties += bytes ? made != number : std::abs(made - number) > rounding;
        ASSERT_NEAR(made, number, bytes ? 1 : std::max(step, rounding))
            << kernel << " on " << cpu::isa_name(isa) << ", batch " << batch << ", element " << i;
      }
      ASSERT_LE(ties * (step > 0 ? 10 : 100), expected.count());
    }
  }
}

// A new row of the kernel list needs a test of this suite. Checked when all of them ran in one process
// (cpu.EveryKernel).
class CpuSteps : public ::testing::Test {
 protected:
  static void TearDownTestSuite() {
    const auto* suite = ::testing::UnitTest::GetInstance()->current_test_suite();
    if (suite->test_to_run_count() != suite->total_test_count()) return;
    for (const auto& entry : cpu::entries()) {
      // The passes rewrite these to Reshape or take them out.
      if (entry.op == Op::Flatten || entry.op == Op::Squeeze || entry.op == Op::Unsqueeze ||
          entry.op == Op::Identity)
        continue;
      const std::string key = std::string(op_name(entry.op)) + " " + std::string(entry.name);
      EXPECT_TRUE(tested_kernels.contains(key)) << key << " has no test here";
    }
  }
};

}  // namespace vitrail::testing
