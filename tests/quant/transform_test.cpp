// SPDX-License-Identifier: Apache-2.0
// What quantization changes in a graph, against the reference backend.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <random>

#include "../passes/graph_builder.h"
#include "backends/reference/evaluate.h"
#include "import/onnx/import.h"
#include "quant/onnx_writer.h"
#include "quant/prepare.h"
#include "quant/search.h"

namespace vitrail::quant {
namespace {

using namespace vitrail::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Values of a graph for one input, node by node on the reference's loops.
std::map<std::string, Tensor> evaluate(const Graph& graph, const Tensor& x) {
  std::vector<Tensor> values(graph.values.size());
  for (size_t i = 0; i < values.size(); ++i)
    if (graph.values[i].constant) values[i] = *graph.values[i].constant;
  values[static_cast<size_t>(graph.inputs[0])] = x;
  for (const Node& node : graph.nodes) {
    std::vector<const Tensor*> inputs;
    for (ValueId id : node.inputs) inputs.push_back(id == kNoValue ? nullptr : &values[static_cast<size_t>(id)]);
    auto outputs = evaluate_node(node, inputs);
    EXPECT_TRUE(outputs.ok()) << outputs.status().message();
    for (size_t i = 0; i < node.outputs.size(); ++i) values[static_cast<size_t>(node.outputs[i])] = (*outputs)[i];
  }
  std::map<std::string, Tensor> named;
  for (size_t i = 0; i < values.size(); ++i) named[graph.values[i].name] = values[i];
  return named;
}

double relative_error(const Tensor& got, const Tensor& want) {
  double off = 0, size = 0;
  for (size_t i = 0; i < want.as<float>().size(); ++i) {
    off += std::pow(double{got.as<float>()[i]} - want.as<float>()[i], 2);
    size += std::pow(double{want.as<float>()[i]}, 2);
  }
  return std::sqrt(off / size);
}

// LayerNorm with one channel far above the others, then MatMul + Add and Gemm with a transposed weight.
struct Model {
  static constexpr int64_t kWidth = 32;
  GraphBuilder b;
  Tensor x{DType::kF32, {1, 64, kWidth}};
  ProductList list;

  Model() {
    const ValueId in = b.input("x", {kN, 64_d, {0, kWidth}});
    Tensor gamma(DType::kF32, {kWidth}), beta(DType::kF32, {kWidth});
    for (float& v : gamma.as_mutable<float>()) v = 1;
    gamma.as_mutable<float>()[5] = 40;
    beta.as_mutable<float>()[7] = 3;
    const ValueId norm = b.node(Op::LayerNormalization, {in, b.constant(gamma), b.constant(beta)},
                                {{"axis", int64_t{-1}}, {"epsilon", 1e-6f}}, "norm");
    const ValueId product = b.node(Op::MatMul, {norm, b.weight({kWidth, 48}, 1)}, {}, "first");
    const ValueId biased = b.node(Op::Add, {product, b.weight({48}, 2)}, {}, "first_bias");
    const ValueId rows = b.node(Op::Reshape, {biased, b.ints({-1, 48})}, {}, "rows");
    b.output(b.node(Op::Gemm, {rows, b.weight({24, 48}, 3), b.weight({24}, 4)}, {{"transB", int64_t{1}}}, "second"));
    EXPECT_TRUE(infer_shapes(b.graph).ok());
    std::mt19937 random(0);
    std::normal_distribution<float> normal;
    for (float& v : x.as_mutable<float>()) v = normal(random);
    list = find_products(b.graph);
  }

  // Statistics and every row of the input of a product.
  std::pair<ValueStats, Probe> seen(size_t product) {
    const Tensor value = evaluate(b.graph, x)[b.graph.value(list.products[product].input).name];
    std::pair<ValueStats, Probe> out;
    const auto channels = static_cast<size_t>(list.products[product].depth);
    out.first.add(value.as<float>(), channels);
    out.second = {channels, {value.as<float>().begin(), value.as<float>().end()}};
    return out;
  }

  std::vector<PreparedProduct> prepare(RangeMethod method = RangeMethod::kMse, bool correct = true,
                                       bool symmetric = false) {
    std::vector<PreparedProduct> prepared;
    for (size_t i = 0; i < list.products.size(); ++i) {
      auto [stats, probe] = seen(i);
      const ByteParams input = prepare_input(b.graph, {&list.products[i]}, stats, probe, {.method = method, .symmetric = symmetric});
      prepared.push_back(prepare_product(b.graph, list.products[i], input, stats, probe));
      if (!correct) prepared.back().bias_correction.clear();
    }
    return prepared;
  }
};

TEST(Products, AreFoundWithTheirSizesAndBiases) {
  Model m;
  ASSERT_EQ(m.list.products.size(), 2u);
  const Product &first = m.list.products[0], &second = m.list.products[1];
  EXPECT_EQ(first.depth, 32);
  EXPECT_EQ(first.width, 48);
  EXPECT_FALSE(first.width_first);
  EXPECT_EQ(m.b.graph.nodes[*first.bias_node].name, "first_bias");
  EXPECT_EQ(second.depth, 48);
  EXPECT_EQ(second.width, 24);
  EXPECT_TRUE(second.width_first);
  EXPECT_EQ(*second.bias_node, second.node);
  EXPECT_EQ(first.multiply_adds, 64 * 32 * 48);
}

TEST(Products, WhatCannotBeQuantizedIsNamedWithAReason) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 3_d, 8_d, 8_d});
  b.output(b.node(Op::Conv, {x, b.weight({4, 3, 4, 4})}, {{"strides", Ints{4, 4}}}, "patches"));
  b.output(b.node(Op::Conv, {x, b.weight({4, 3, 3, 3})}, {{"strides", Ints{1, 1}}}, "overlapping"));
  b.output(b.node(Op::MatMul, {x, x}, {}, "activations"));
  ASSERT_TRUE(infer_shapes(b.graph).ok());
  const ProductList list = find_products(b.graph);
  ASSERT_EQ(list.products.size(), 1u);
  EXPECT_EQ(list.products[0].name, "patches");
  EXPECT_EQ(list.products[0].depth, 48);
  ASSERT_EQ(list.unquantized.size(), 2u);
  EXPECT_THAT(list.unquantized[0].reason, HasSubstr("overlap"));
  EXPECT_THAT(list.unquantized[1].reason, HasSubstr("--attention"));
}

TEST(Smooth, KeepsWhatTheModelComputesAndEvensTheChannels) {
  Model m;
  const Tensor before = evaluate(m.b.graph, m.x)["second"];
  const auto pairs = find_smooth_pairs(m.b.graph, m.list);
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_THAT(pairs[0].products, ElementsAre(0));
  auto [stats, probe] = m.seen(0);
  const float range = stats.high - stats.low;
  EXPECT_GT(smooth(m.b.graph, pairs[0], m.list, stats, probe), 0);
  EXPECT_LT(relative_error(evaluate(m.b.graph, m.x)["second"], before), 1e-6);
  EXPECT_LT((stats.high - stats.low) * 2, range);
  const auto [exact, rows] = m.seen(0);  // the statistics are those of the changed graph
  EXPECT_NEAR(exact.high, stats.high, 1e-4 * exact.high);
  for (size_t i = 0; i < rows.rows.size(); ++i) EXPECT_NEAR(rows.rows[i], probe.rows[i], 1e-4);
}

TEST(Smooth, MakesTheQuantizedModelBetter) {
  Model plain, smoothed;
  auto [stats, probe] = smoothed.seen(0);
  smooth(smoothed.b.graph, find_smooth_pairs(smoothed.b.graph, smoothed.list)[0], smoothed.list, stats, probe);
  smoothed.list = find_products(smoothed.b.graph);
  const Tensor want = evaluate(plain.b.graph, plain.x)["second"];
  const auto error = [&](Model& m) {
    const Graph q = insert_quantization(m.b.graph, m.list, m.prepare(), {true, true});
    return relative_error(evaluate(q, m.x)["second"], want);
  };
  EXPECT_LT(error(smoothed), 0.7 * error(plain));
}

TEST(Prepare, WeightsAreSymmetricAndWithinHalfAStep) {
  Model m;
  const auto prepared = m.prepare();
  for (size_t i = 0; i < 2; ++i) {
    const Tensor& w = m.b.graph.constant(m.list.products[i].weight);
    const auto n = static_cast<size_t>(m.list.products[i].width), k = static_cast<size_t>(m.list.products[i].depth);
    size_t clipped = 0;
    for (size_t j = 0; j < w.as<float>().size(); ++j) {
      const float scale = prepared[i].scale.as<float>()[m.list.products[i].width_first ? j / k : j % n];
      const int number = prepared[i].weight.as<int8_t>()[j];
      ASSERT_GE(number, -127);
      const float off = std::fabs(w.as<float>()[j] - static_cast<float>(number) * scale);
      if (off <= scale * 0.5001f) continue;
      ++clipped;
      EXPECT_EQ(std::abs(number), 127);
    }
    EXPECT_LT(clipped, w.as<float>().size() / 10);
  }
}

TEST(Prepare, TheCorrectionTakesTheMeanErrorAway) {
  Model m;
  const Tensor want = evaluate(m.b.graph, m.x)["first_bias"];
  const auto mean_errors = [&](bool correct) {
    const Graph q = insert_quantization(m.b.graph, m.list, m.prepare(RangeMethod::kMinMax, correct), {true, false});
    const Tensor got = evaluate(q, m.x)["first_bias"];
    double worst = 0;
    for (size_t c = 0; c < 48; ++c) {
      double sum = 0;
      for (size_t r = 0; r < 64; ++r) sum += double{got.as<float>()[r * 48 + c]} - want.as<float>()[r * 48 + c];
      worst = std::max(worst, std::fabs(sum / 64));
    }
    return worst;
  };
  EXPECT_LT(mean_errors(true), 1e-5);
  EXPECT_GT(mean_errors(false), 1e-3);
}

TEST(Insert, OnlyWhatIsEnabledIsQuantizedAndReadersShareAPair) {
  Model m;
  const auto prepared = m.prepare();
  const Graph one = insert_quantization(m.b.graph, m.list, prepared, {true, false});
  EXPECT_EQ(count(one, Op::QuantizeLinear), 1);
  EXPECT_EQ(count(one, Op::DequantizeLinear), 2);
  EXPECT_TRUE(verify_graph(one).ok()) << verify_graph(one).message();
  const Graph both = insert_quantization(m.b.graph, m.list, prepared, {true, true});
  EXPECT_EQ(count(both, Op::QuantizeLinear), 2);
  EXPECT_LT(relative_error(evaluate(both, m.x)["second"], evaluate(m.b.graph, m.x)["second"]), 0.05);

  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 8_d, 16_d});
  for (const char* name : {"q", "k", "v"}) b.output(b.node(Op::MatMul, {x, b.weight({16, 16})}, {}, name));
  ASSERT_TRUE(infer_shapes(b.graph).ok());
  const ProductList list = find_products(b.graph);
  std::vector<PreparedProduct> three(3);
  for (auto& p : three) p.weight = Tensor(DType::kI8, {16, 16}), p.scale = Tensor(DType::kF32, {16});
  EXPECT_EQ(count(insert_quantization(b.graph, list, three, {true, true, true}), Op::QuantizeLinear), 1);
}

TEST(Insert, SymmetricActivationsAreBytesAroundZero) {
  Model m;
  const Graph q = insert_quantization(m.b.graph, m.list, m.prepare(RangeMethod::kMse, true, true), {true, true});
  for (const Node& node : q.nodes)
    if (node.op == Op::QuantizeLinear) {
      const Tensor& zero = q.constant(node.input(2));
      EXPECT_EQ(zero.dtype(), DType::kI8);
      EXPECT_EQ(zero.as<int8_t>()[0], 0);
    }
  EXPECT_EQ(count(q, Op::QuantizeLinear), 2);
  EXPECT_LT(relative_error(evaluate(q, m.x)["second"], evaluate(m.b.graph, m.x)["second"]), 0.05);
}

TEST(Insert, ProductsOfTwoActivationsGetAPairOnEitherSide) {
  GraphBuilder b;
  const ValueId x = b.input("x", {kN, 8_d, 16_d}), y = b.input("y", {kN, 16_d, 8_d});
  b.output(b.node(Op::MatMul, {x, y}, {}, "scores"));
  ASSERT_TRUE(infer_shapes(b.graph).ok());
  EXPECT_TRUE(find_products(b.graph).products.empty());
  const ProductList list = find_products(b.graph, true);
  ASSERT_EQ(list.products.size(), 1u);
  EXPECT_EQ(list.products[0].right, y);
  PreparedProduct p;
  p.input = byte_params({-1, 1});
  p.right = byte_params({-2, 2});
  const Graph q = insert_quantization(b.graph, list, {p}, {true});
  EXPECT_EQ(count(q, Op::QuantizeLinear), 2);
  EXPECT_EQ(count(q, Op::DequantizeLinear), 2);
  EXPECT_TRUE(verify_graph(q).ok());
}

TEST(OnnxWriter, WhatIsWrittenReadsAsTheSame) {
  Model m;
  m.b.graph.metadata["vitrail.note"] = "kept";
  const Graph q = insert_quantization(m.b.graph, m.list, m.prepare(), {true, true});
  const auto folder = std::filesystem::temp_directory_path() / ("vtl_writer_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::string path = folder / "q.onnx";
  ASSERT_TRUE(write_onnx(q, path).ok());
  auto read = import_onnx(path);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->metadata["vitrail.note"], "kept");
  EXPECT_EQ(read->value(read->inputs[0]).shape, q.value(q.inputs[0]).shape);
  const Tensor got = evaluate(*read, m.x)["second"], want = evaluate(q, m.x)["second"];
  for (size_t i = 0; i < want.as<float>().size(); ++i) EXPECT_EQ(got.as<float>()[i], want.as<float>()[i]);
  std::filesystem::remove_all(folder);
}

TEST(OnnxWriter, RefusesOperatorsOfItsOwn) {
  GraphBuilder b;
  b.output(b.node(Op::RowStats, {b.input("x", {kN, 4_d})}, {}, "stats"));
  EXPECT_THAT(write_onnx(b.graph, "/tmp/never.onnx").message(), HasSubstr("'stats'"));
}

TEST(OnnxWriter, AFolderThatIsNotThereIsAnError) {
  Model m;
  EXPECT_EQ(write_onnx(m.b.graph, "/nowhere/q.onnx").code(), Code::kIo);
}

// Layers 3 and 8 must be kept; the ranking puts 8 first, then two that need not.
TEST(Search, FindsTheFewestThatAreGood) {
  const std::vector<size_t> ranked{8, 1, 2, 3, 4, 5, 6, 7, 9, 0};
  int asked = 0;
  const auto good = [&](std::span<const size_t> kept) -> Result<bool> {
    ++asked;
    return std::ranges::find(kept, size_t{3}) != kept.end() && std::ranges::find(kept, size_t{8}) != kept.end();
  };
  const auto kept = fewest_kept(ranked, good, 10);
  ASSERT_TRUE(kept.ok());
  EXPECT_THAT(*kept, ElementsAre(3, 8));
  EXPECT_LE(asked, 12);
}

TEST(Search, KeepsNothingOrEverythingWhereThatIsTheAnswer) {
  const std::vector<size_t> ranked{2, 0, 1};
  EXPECT_TRUE(fewest_kept(ranked, [](auto) -> Result<bool> { return true; }, 3)->empty());
  EXPECT_EQ(fewest_kept(ranked, [](auto) -> Result<bool> { return false; }, 0)->size(), 3u);
  EXPECT_FALSE(fewest_kept(ranked, [](auto) -> Result<bool> { return Status(Code::kCancelled, "stop"); }, 3).ok());
}

}  // namespace
}  // namespace vitrail::quant
