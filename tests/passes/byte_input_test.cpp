// SPDX-License-Identifier: Apache-2.0
#include "passes/byte_input.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "backends/reference/run.h"
#include "graph_builder.h"

namespace vitrail::testing {
namespace {

constexpr std::array<float, 3> kMean{0.485f, 0.456f, 0.406f}, kStd{0.229f, 0.224f, 0.225f};

Graph patches() {
  GraphBuilder b;
  const ValueId x = b.input("pictures", {kN, 3_d, 8_d, 12_d});
  b.output(b.node(Op::PatchEmbed, {x, b.weight({16, 3, 4, 4}), b.weight({16}, 2)},
                  {{"kernel_shape", Ints{4, 4}},
                   {"strides", Ints{4, 4}},
                   {"out_channels", int64_t{16}},
                   {"prefix", int64_t{0}}}),
           "tokens");
  EXPECT_TRUE(infer_shapes(b.graph).ok());
  return b.graph;
}

TEST(ByteInput, BytesGiveWhatNormalisedFloatsDid) {
  const Graph floats = patches();
  Graph bytes = floats;
  const Status status = use_byte_input(bytes, byte_scaling(kMean, kStd));
  ASSERT_TRUE(status.ok()) << status.message();
  const Value& input = bytes.value(bytes.inputs[0]);
  EXPECT_EQ(input.name, "pictures");
  EXPECT_EQ(input.dtype, DType::kU8);
  EXPECT_EQ(*input.shape, (SymShape{kN, 8_d, 12_d, 3_d}));
  ASSERT_TRUE(infer_shapes(bytes).ok()) << infer_shapes(bytes).message();
  EXPECT_EQ(*bytes.value(bytes.nodes[3].outputs[0]).shape, (SymShape{kN, 3_d, 8_d, 12_d}));

  std::mt19937 random(1);
  Tensor u8(DType::kU8, {2, 8, 12, 3}), f32(DType::kF32, {2, 3, 8, 12});
  for (size_t n = 0; n < 2; ++n)
    for (size_t i = 0; i < 96; ++i)
      for (size_t c = 0; c < 3; ++c) {
        const auto v = static_cast<uint8_t>(random() & 255);
        u8.as_mutable<uint8_t>()[(n * 96 + i) * 3 + c] = v;
        f32.as_mutable<float>()[(n * 3 + c) * 96 + i] = (static_cast<float>(v) / 255.0f - kMean[c]) / kStd[c];
      }
  const auto want = run_graph(floats, {{"pictures", f32}});
  const auto got = run_graph(bytes, {{"pictures", u8}});
  ASSERT_TRUE(want.ok() && got.ok()) << got.status().message();
  const auto a = want->at("tokens").as<float>(), b = got->at("tokens").as<float>();
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5 * (1 + std::abs(a[i]))) << i;
}

TEST(ByteInput, TheChainIsFoundAgainWithItsScaling) {
  Graph graph = patches();
  EXPECT_FALSE(match_byte_input(graph));
  const ValueId pixels = graph.inputs[0];
  const ByteScaling scaling = byte_scaling(kMean, kStd);
  ASSERT_TRUE(use_byte_input(graph, scaling).ok());
  const auto found = match_byte_input(graph);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->bytes, graph.inputs[0]);
  EXPECT_EQ(found->pixels, pixels);
  EXPECT_EQ(found->scaling.scale, scaling.scale);
  EXPECT_EQ(found->scaling.shift, scaling.shift);
  EXPECT_FLOAT_EQ(scaling.scale[0], 1 / (255 * 0.229f));
  EXPECT_FLOAT_EQ(scaling.shift[2], -0.406f / 0.225f);
  // Read by someone else as well: the chain cannot go.
  graph.outputs.push_back(graph.nodes[1].outputs[0]);
  EXPECT_FALSE(match_byte_input(graph));
}

TEST(ByteInput, OtherInputsAreRefused) {
  GraphBuilder b;
  b.output(b.node(Op::Relu, {b.input("x", {kN, 7_d})}));
  const Status status = use_byte_input(b.graph, {});
  EXPECT_EQ(status.code(), Code::kUsage);
  EXPECT_NE(status.message().find("[N,3,H,W]"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace vitrail::testing
