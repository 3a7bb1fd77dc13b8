// SPDX-License-Identifier: Apache-2.0
// What compiling for an H100 makes of the end of a ViT, looked at without one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cuda/compile.h"
#include "backends/cuda/fold_norm.h"
#include "backends/cuda/kernel_list.h"
#include "backends/cuda/program.h"
#include "core/half.h"
#include "passes/fusion.h"

namespace vitrail::cuda {
namespace {

using namespace vitrail::testing;

Target hopper() {
  Target target;
  target.device = {"H100", 90, 132, 0, 13000, 13000};
  target.precision = *parse_precision("fp16", target.device);
  return target;
}

// The last block on nine tokens of 128, final norm, class token, head.
struct Tail {
  GraphBuilder b;
  ValueId norm = kNoValue, token = kNoValue;

  Tail() {
    const ValueId x = b.input("x", {kN, 9_d, 128_d});
    const ValueId first = b.node(Op::LayerNormalization, {x, b.weight({128})});
    const ValueId qkv = b.node(Op::Linear, {first, b.weight({128, 384}, 2)});
    const ValueId a = b.node(Op::MultiHeadAttention, {qkv, qkv, qkv},
                             {{"heads", int64_t{2}},
                              {"head_dim", int64_t{64}},
                              {"k_offset", int64_t{128}},
                              {"v_offset", int64_t{256}}},
                             "attention");
    const ValueId middle = b.node(Op::Linear, {a, b.weight({128, 128}, 3), b.weight({128}), x}, {}, "middle");
    const ValueId n = b.node(Op::LayerNormalization, {middle, b.weight({128})});
    const ValueId h =
        b.node(Op::Linear, {n, b.weight({128, 256}, 4)}, {{"activation", std::string("gelu")}}, "hidden");
    const ValueId end = b.node(Op::Linear, {h, b.weight({256, 128}, 5), kNoValue, middle}, {}, "end");
    norm = b.node(Op::LayerNormalization, {end, b.weight({128}, 7), b.weight({128}, 8)}, {}, "norm");
    token = b.node(Op::Gather, {norm, b.integer(0)}, {{"axis", int64_t{1}}}, "token");
    b.output(b.node(Op::Linear, {token, b.weight({128, 24}, 6), b.weight({24}, 9)}, {}, "logits"));
  }

  Graph fused() {
    EXPECT_TRUE(infer_shapes(b.graph).ok());
    Graph graph = b.graph;
    EXPECT_TRUE(fuse(graph).ok());
    return graph;
  }
  Graph compiled() {
    Graph graph = fused();
    const auto reports = rewrite(graph, hopper(), {});
    EXPECT_TRUE(reports.ok()) << reports.status().message();
    return graph;
  }
};

int count_kernel(const Graph& graph, std::string_view kernel) {
  return static_cast<int>(
      std::ranges::count_if(graph.nodes, [&](const Node& n) { return kernel_of(n) == kernel; }));
}

const Node* named(const Graph& graph, std::string_view name) {
  for (const Node& node : graph.nodes)
    if (node.name == name) return &node;
  return nullptr;
}

TEST(Rewrite, TheNormBeforeTheHeadIsFoldedThroughTheReshape) {
  Tail tail;
  const Graph graph = tail.compiled();
  EXPECT_EQ(count_kernel(graph, "layer_norm"), 0) << print_graph(graph);
  const Node *head = named(graph, "logits"), *end = named(graph, "end");
  ASSERT_TRUE(head && end);
  ASSERT_EQ(end->outputs.size(), 2u);
  EXPECT_EQ(head->input(4), end->outputs[1]);
  EXPECT_EQ(graph.find("token"), kNoValue) << "the value before the norm must not go by the name of the one after it";

  const auto of = [&](ValueId id) { return tail.b.graph.constant(id).as<float>(); };
  const Node &norm = *named(tail.b.graph, "norm"), &given = *named(tail.b.graph, "logits");
  std::vector<float> weight(128 * 24), bias(24);
  fold_norm({of(given.input(1)).data(), 128, 24, of(norm.input(1)), of(norm.input(2)), of(given.input(2))}, 0, 24,
            weight.data(), bias.data());
  const auto packed = graph.constant(head->input(1)).as<uint16_t>();
  for (size_t n = 0; n < 24; ++n) {
    for (size_t k = 0; k < 128; ++k) ASSERT_EQ(packed[n * 128 + k], float_to_half(weight[k * 24 + n])) << n << " " << k;
    EXPECT_EQ(graph.constant(head->input(2)).as<float>()[n], bias[n]);
  }
}

TEST(Rewrite, ANormWhoseReshapedResultLeavesStays) {
  Tail tail;
  tail.b.output(tail.token);
  EXPECT_EQ(count_kernel(tail.compiled(), "layer_norm"), 1);
}

std::shared_ptr<const CudaProgram> planned(Graph graph) {
  auto program = CudaProgram::create(std::make_shared<const Graph>(std::move(graph)), hopper().device, true);
  EXPECT_TRUE(program.ok()) << program.status().message();
  return std::static_pointer_cast<const CudaProgram>(*program);
}

std::vector<size_t> slices_of(const Graph& graph) {
  std::vector<size_t> found;
  for (size_t n = 0; n < graph.nodes.size(); ++n)
    if (graph.nodes[n].op == Op::Slice) found.push_back(n);
  return found;
}

TEST(Rewrite, RowsOfOneImageAreNotCopied) {
  Tail tail;
  const auto program = planned(tail.compiled());
  const Graph& graph = program->graph();
  const auto slices = slices_of(graph);
  ASSERT_EQ(slices.size(), 2u);

  std::vector<std::byte> memory(graph.values.size());
  std::vector<std::byte*> buffers;
  for (std::byte& b : memory) buffers.push_back(&b);
  for (size_t n : slices) {
    const auto in = static_cast<size_t>(graph.nodes[n].input(0)), out = static_cast<size_t>(graph.nodes[n].outputs[0]);
    EXPECT_TRUE(program->is_alias(n, 1));
    EXPECT_FALSE(program->is_alias(n, 2));
    EXPECT_EQ(program->alias(buffers, 1)[out], buffers[in]);
    EXPECT_EQ(program->alias(buffers, 2)[out], buffers[out]);
  }

  // What is read through the slices must not be overwritten before.
  const auto plan = program->plan(4, 1);
  ASSERT_TRUE(plan.ok());
  const auto middle = std::ranges::find(graph.nodes, "middle", &Node::name) - graph.nodes.begin();
  for (size_t n : slices) {
    const ValueId from = program->roots()[static_cast<size_t>(graph.nodes[n].input(0))].value;
    const auto at = std::ranges::find(plan->values, from, &PlannedValue::value);
    ASSERT_NE(at, plan->values.end());
    EXPECT_GE(at->last_node, middle) << graph.value(from).name;
  }
}

// Later rows begin inside the value; rows that leave the model must be made.
TEST(Rewrite, SlicesThatLeaveAreCopied) {
  for (bool leaves : {false, true}) {
    GraphBuilder b;
    const ValueId x = b.input("x", {kN, 9_d, 128_d});
    const ValueId y = b.node(Op::Relu, {x});
    const ValueId rows = b.node(Op::Slice, {y, b.ints({2}), b.ints({4}), b.ints({1})}, {}, "rows");
    b.output(leaves ? rows : b.node(Op::Relu, {rows}));
    ASSERT_TRUE(infer_shapes(b.graph).ok());
    Target target = hopper();
    target.precision = *parse_precision("fp32", target.device);
    ASSERT_TRUE(rewrite(b.graph, target, {}).ok());
    const auto program = planned(b.graph);
    const auto slices = slices_of(program->graph());
    ASSERT_EQ(slices.size(), 1u);
    EXPECT_EQ(program->is_alias(slices[0], 1), !leaves);
    std::vector<std::byte> memory(4096);
    const std::vector<std::byte*> buffers(program->graph().values.size(), memory.data());
    const ValueId out = program->graph().nodes[slices[0]].outputs[0];
    EXPECT_EQ(program->alias(buffers, 1)[static_cast<size_t>(out)] - memory.data(), leaves ? 0 : 2 * 128 * 4);
  }
}

TEST(Rewrite, AProgramForPlanningMakesNoContext) {
  Tail tail;
  EXPECT_EQ(planned(tail.compiled())->create_context({}).status().code(), Code::kInternal);
}

}  // namespace
}  // namespace vitrail::cuda
