// SPDX-License-Identifier: Apache-2.0
// A fusion is right when the fused graph computes what the graph before it did, on the reference backend.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "backends/reference/evaluate.h"
#include "backends/reference/run.h"
#include "graph/edit.h"
#include "graph_builder.h"
#include "passes/cleanup.h"
#include "passes/pipeline.h"

namespace vitrail::testing {

inline std::vector<NamedTensor> random_inputs(const Graph& graph, int64_t batch) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<NamedTensor> inputs;
  for (ValueId id : graph.inputs) {
    Tensor t(DType::kF32, at_batch(*graph.value(id).shape, batch));
    for (float& v : t.as_mutable<float>()) v = normal(random);
    inputs.push_back({graph.value(id).name, t});
  }
  return inputs;
}

// Both graphs on the same random inputs at batch 1 and 3; outputs equal to `tolerance` relative to the
// largest.
inline void expect_same(const Graph& before, const Graph& after, double tolerance = 1e-5) {
  for (int64_t batch : {1, 3}) {
    const auto inputs = random_inputs(before, batch);
    const auto want = run_graph(before, inputs);
    const auto got = run_graph(after, inputs);
    ASSERT_TRUE(want.ok()) << want.status().message();
    ASSERT_TRUE(got.ok()) << got.status().message() << "\n" << print_graph(after);
    for (const auto& [name, tensor] : *want) {
      ASSERT_TRUE(got->contains(name)) << "output " << name << " is gone";
      const Tensor& other = got->at(name);
      ASSERT_EQ(other.shape(), tensor.shape());
      double largest = 0, error = 0;
      for (int64_t i = 0; i < tensor.count(); ++i) {
        const auto k = static_cast<size_t>(i);
        largest = std::max<double>(largest, std::abs(tensor.as<float>()[k]));
        error = std::max<double>(error, std::abs(tensor.as<float>()[k] - other.as<float>()[k]));
      }
      EXPECT_LE(error, tolerance * largest) << "output " << name << " at batch " << batch << "\n"
                                            << print_graph(after);
    }
  }
}

// Runs the pass, cleans up, and checks the outcome against the graph before.
template <class PassFunction>
Graph apply(Graph graph, PassFunction pass, int expected_changes) {
  EXPECT_TRUE(infer_shapes(graph).ok()) << infer_shapes(graph).message();
  const Graph before = graph;
  EXPECT_EQ(pass(graph), expected_changes) << print_graph(before);
  EXPECT_TRUE(infer_shapes(graph).ok());
  EXPECT_TRUE(cleanup(graph).ok());
  EXPECT_TRUE(verify_graph(graph).ok()) << verify_graph(graph).message();
  expect_same(before, graph);
  return graph;
}

}  // namespace vitrail::testing
