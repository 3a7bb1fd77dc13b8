// SPDX-License-Identifier: Apache-2.0
// What the builder is told, read back from its network. TensorRT-RTX's makes one without a GPU.
#include "backends/tensorrt/module/network.h"

#include <gmock/gmock.h>

#include "backends/tensorrt/module/library.h"

namespace vitrail::tensorrt {
namespace {

using testing::ElementsAre;

// y = 0.5·x·(w·scale), x bytes.
Graph quantized_product(std::vector<float> scales) {
  Graph g;
  const ValueId x = g.add_value({"x", DType::kI8, SymShape{Dim::batch(), Dim::of(2)}, {}, {}});
  Tensor bytes(DType::kI8, {2, 3});
  std::ranges::copy(std::initializer_list<int8_t>{1, 2, 3, -128, 5, 6}, bytes.as_mutable<int8_t>().begin());
  const ValueId w = g.add_constant("w", bytes), s = g.add_constant("s", Tensor::f32({3}, scales));
  const ValueId y = g.add_value({"y", DType::kF32, SymShape{Dim::batch(), Dim::of(3)}, {}, {}});
  g.inputs = {x};
  g.outputs = {y};
  Node node{Op::QuantizedLinear, "product", {x, w, s}, {y}, {}, ""};
  node.attributes["x_scale"] = 0.5f;
  g.nodes = {node};
  return g;
}

struct Told {
  std::vector<int> bytes;
  std::vector<float> scales;
};

// The matrix and its steps, as the constants of the network. Nothing where the builder wants a GPU.
std::optional<Told> told(const Graph& graph, std::string& why) {
  const auto library = Library::get();
  if (!library.ok()) return why = library.status().message(), std::nullopt;
  Logger logger;
  const auto builder = (*library)->make_builder(logger);
  if (!builder.ok()) return why = builder.status().message(), std::nullopt;
  const auto precision = parse_precision("int8");
  const auto definition = make_network(**builder, *precision);
  const std::map<std::string, float> absmax;
  Network network(*definition, graph, *precision, logger, absmax, {});
  if (const Status built = network.build(); !built.ok()) return why = built.message(), std::nullopt;
  Told t;
  for (int i = 0; i < definition->getNbLayers(); ++i) {
    if (definition->getLayer(i)->getType() != nv::LayerType::kCONSTANT) continue;
    const nv::Weights w = static_cast<nv::IConstantLayer*>(definition->getLayer(i))->getWeights();
    if (w.type == nv::DataType::kINT8) t.bytes.assign(static_cast<const int8_t*>(w.values), static_cast<const int8_t*>(w.values) + w.count);
    if (w.type == nv::DataType::kFLOAT && w.count == 3) t.scales.assign(static_cast<const float*>(w.values), static_cast<const float*>(w.values) + 3);
  }
  return t;
}

TEST(QuantizedNetwork, StepsAreAboveZero) {
  if (!kStronglyTyped) GTEST_SKIP() << "before TensorRT 10 the builder wants a GPU";
  std::string why;
  auto t = told(quantized_product({0.5f, 0.25f, 2}), why);
  if (!t) GTEST_SKIP() << why;
  EXPECT_THAT(t->bytes, ElementsAre(1, 2, 3, -128, 5, 6));
  EXPECT_THAT(t->scales, ElementsAre(0.5f, 0.25f, 2));
  t = told(quantized_product({-0.5f, 0, 2}), why);
  ASSERT_TRUE(t) << why;
  EXPECT_THAT(t->bytes, ElementsAre(-1, 0, 3, 127, 0, 6));
  EXPECT_THAT(t->scales, ElementsAre(0.5f, 1, 2));
}

}  // namespace
}  // namespace vitrail::tensorrt
