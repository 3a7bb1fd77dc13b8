// SPDX-License-Identifier: Apache-2.0
#include "workflow/build_record.h"

#include <gmock/gmock.h>

namespace vitrail {
namespace {

using testing::HasSubstr;

// y = LayerNormalization(x + b)
Graph small(float epsilon = 1e-5f, Shape shape = {2}, const char* prefix = "") {
  Graph g;
  const SymShape rows{Dim::batch(), Dim::of(2)};
  const std::string p = prefix;
  const ValueId x = g.add_value({p + "x", DType::kF32, rows, {}, {}});
  const ValueId b = g.add_constant(p + "b", Tensor(DType::kF32, std::move(shape)));
  const ValueId s = g.add_constant(p + "s", Tensor::f32({2}, {1, 1}));
  const ValueId z = g.add_value({p + "z", DType::kF32, rows, {}, {}});
  const ValueId y = g.add_value({p + "y", DType::kF32, rows, {}, {}});
  g.inputs = {x};
  g.outputs = {y};
  g.nodes = {{Op::Add, p + "add", {x, b}, {z}, {}, ""},
             {Op::LayerNormalization, p + "norm", {z, s}, {y}, {{"epsilon", epsilon}}, ""}};
  return g;
}

std::string record(const Graph& graph) { return record_build(graph, BuildOptions()); }
Status compare(const Graph& engine, const Graph& model) {
  return same_architecture(record(engine), record(model), "e.vtl", "m.onnx");
}

TEST(BuildRecord, NamesDoNotMatter) { EXPECT_TRUE(compare(small(), small(1e-5f, {2}, "model.")).ok()); }

TEST(BuildRecord, WhatDiffersIsNamed) {
  EXPECT_THAT(compare(small(), small(1e-6f)).message(), HasSubstr("layer 'norm' (LayerNormalization) has epsilon=1e-05 in the engine"));
  EXPECT_THAT(compare(small(), small(1e-5f, {1, 2})).message(),
              HasSubstr("layer 'add' (Add): its weight 'b' is float32 [2] in the engine and float32 [1,2] ('b') in the model"));
  Graph shorter = small();
  shorter.nodes.pop_back();
  shorter.outputs = {shorter.nodes[0].outputs[0]};
  EXPECT_THAT(compare(small(), shorter).message(), HasSubstr("2 layers in the engine and 1 in the model"));
  Graph rewired = small();
  rewired.nodes[1].inputs[0] = rewired.inputs[0];
  EXPECT_THAT(compare(small(), rewired).message(), HasSubstr("input 0 of layer 'norm'"));
  Graph wide = small();
  wide.value(wide.inputs[0]).shape = SymShape{Dim::batch(), Dim::of(3)};
  EXPECT_THAT(compare(small(), wide).message(), HasSubstr("input 'x' is float32 [N,2] in the engine and float32 [N,3]"));
}

// A plan may have it in a kernel's numbers, where no weight reaches.
TEST(BuildRecord, TheScaleOfAttentionIsNoWeight) {
  Graph one = small(), two = small(), close = small(), ranges = small();
  one.nodes[0].attributes["scale"] = 0.125f;
  two.nodes[0].attributes["scale"] = 0.25f;
  close.nodes[0].attributes["scale"] = 0.12500001f;
  ranges.nodes[0].attributes["scale"] = 0.125f;
  ranges.nodes[0].attributes["x_scale"] = 3.0f;
  EXPECT_THAT(compare(one, two).message(), HasSubstr("layer 'add' (Add) has scale=0.125 in the engine and scale=0.25"));
  EXPECT_TRUE(compare(one, close).ok());
  EXPECT_TRUE(compare(one, ranges).ok());
}

// Indices choose what is computed; a refit does not change them.
TEST(BuildRecord, IntegersAreNoWeights) {
  Graph one = small(), two = small();
  for (auto [graph, axis] : {std::pair{&one, 0}, {&two, 1}}) {
    const ValueId i = graph->add_constant("i", Tensor::i64({1}, {axis}));
    const ValueId g = graph->add_value({"g", DType::kF32, SymShape{Dim::batch(), Dim::of(1)}, {}, {}});
    graph->nodes.push_back({Op::Gather, "pick", {graph->outputs[0], i}, {g}, {{"axis", int64_t{1}}}, ""});
    graph->outputs = {g};
  }
  EXPECT_TRUE(compare(one, one).ok());
  EXPECT_THAT(compare(one, two).message(), HasSubstr("the numbers of 'i' are others in 'i', and they are no weights"));
}

TEST(BuildRecord, OptionsComeBack) {
  BuildOptions options;
  options.byte_input = options.fuse.drop_fake_quantization = true;
  options.model.import.dims["height"] = 64;
  EngineInfo info;
  info.backend = "cpu";
  info.precision = "fp32";
  info.profiles = {{1, 2, 3}};
  info.build_json = record_build(small(), options);
  const auto found = recorded_options(info, "e.vtl");
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_TRUE(found->byte_input && found->fuse.drop_fake_quantization);
  EXPECT_EQ(found->model.import.dims.at("height"), 64);
  EXPECT_EQ(found->profiles, info.profiles);
}

TEST(BuildRecord, EnginesThatCannotBeRefittedSayWhy) {
  EngineInfo info;
  info.backend = "tensorrt";
  info.precision = "int8";
  const auto message = [&] { return recorded_options(info, "e.vtl").status().message(); };
  EXPECT_THAT(message(), HasSubstr("an older Vitrail built it"));
  BuildOptions options;
  options.backend = "tensorrt";
  options.precision = "int8";
  info.build_json = record_build(small(), options);
  EXPECT_THAT(message(), HasSubstr("built without --refit"));
  options.calibrate = "photos/";
  info.build_json = record_build(small(), options);
  EXPECT_THAT(message(), HasSubstr("its int8 ranges were calibrated with the weights that it has"));
  options.calibrate.clear();
  options.plan.refit = true;
  Graph pairs = small();
  pairs.nodes[0].op = Op::QuantizeLinear;
  info.build_json = record_build(pairs, options);
  EXPECT_THAT(message(), HasSubstr("chose its 8-bit ranges into the plan"));
}

TEST(BuildRecord, ADamagedOneIsAnError) {
  EngineInfo info;
  info.backend = "cpu";
  for (const char* text : {"[]", "{}", R"({"byte_input":1})", "nonsense"}) {
    info.build_json = text;
    EXPECT_EQ(recorded_options(info, "e.vtl").status().code(), Code::kBadInput) << text;
  }
  const std::string good = record(small());
  for (const char* text : {"7", R"({"layers":7})", R"({"layers":[7,[],{"op":3}]})", R"({"inputs":{"a":1},"layers":[{"inputs":{"0":1}}]})"})
    EXPECT_FALSE(same_architecture(text, good, "e", "m").ok()) << text;
}

}  // namespace
}  // namespace vitrail
