// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "engine/format.h"
#include "sample.h"

namespace vitrail {
namespace {

using test::read_all;
using test::sample_graph;
using test::sample_info;
using test::TempDir;

void expect_same(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.shape(), b.shape());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.bytes()), 0);
}

void expect_same(const Attribute& a, const Attribute& b) {
  ASSERT_EQ(a.index(), b.index());
  if (const auto* tensor = std::get_if<Tensor>(&a)) return expect_same(*tensor, std::get<Tensor>(b));
  if (const auto* f = std::get_if<float>(&a)) {
    EXPECT_EQ(std::memcmp(f, &std::get<float>(b), sizeof *f), 0) << *f;  // bits: -0 and NaN count
    return;
  }
  std::visit(
      [&](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (!std::is_same_v<T, Tensor>) {
          EXPECT_EQ(v, std::get<T>(b));
        }
      },
      a);
}

TEST(RoundTrip, GraphComesBackEqual) {
  TempDir dir;
  const Graph before = sample_graph();
  ASSERT_TRUE(write_engine(dir / "e.vtl", sample_info(), before).ok());
  auto engine = load_engine(dir / "e.vtl", 2);
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  const Graph& after = *engine->graph;

  EXPECT_EQ(after.name, before.name);
  EXPECT_EQ(after.opset, before.opset);
  EXPECT_EQ(after.metadata, before.metadata);
  EXPECT_EQ(after.inputs, before.inputs);
  EXPECT_EQ(after.outputs, before.outputs);
  ASSERT_EQ(after.values.size(), before.values.size());
  for (size_t i = 0; i < after.values.size(); ++i) {
    SCOPED_TRACE(before.values[i].name);
    EXPECT_EQ(after.values[i].name, before.values[i].name);
    EXPECT_EQ(after.values[i].dtype, before.values[i].dtype);
    EXPECT_EQ(after.values[i].shape, before.values[i].shape);
    EXPECT_EQ(after.values[i].integers, before.values[i].integers);
    ASSERT_EQ(after.values[i].constant.has_value(), before.values[i].constant.has_value());
    if (before.values[i].constant) expect_same(*before.values[i].constant, *after.values[i].constant);
  }
  ASSERT_EQ(after.nodes.size(), before.nodes.size());
  for (size_t i = 0; i < after.nodes.size(); ++i) {
    const Node &a = before.nodes[i], &b = after.nodes[i];
    SCOPED_TRACE(a.name);
    EXPECT_EQ(a.op, b.op);
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.stage, b.stage);
    EXPECT_EQ(a.inputs, b.inputs);
    EXPECT_EQ(a.outputs, b.outputs);
    ASSERT_EQ(a.attributes.size(), b.attributes.size());
    for (const auto& [key, value] : a.attributes) {
      SCOPED_TRACE(key);
      ASSERT_TRUE(b.has(key));
      expect_same(value, b.attributes.at(key));
    }
  }
}

TEST(RoundTrip, InfoComesBackEqual) {
  TempDir dir;
  const EngineInfo before = sample_info();
  auto hash = write_engine(dir / "e.vtl", before, sample_graph());
  ASSERT_TRUE(hash.ok()) << hash.status().message();
  auto engine = load_engine(dir / "e.vtl");
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  const EngineInfo& after = engine->info;
  EXPECT_EQ(after.producer, before.producer);
  EXPECT_EQ(after.model_name, before.model_name);
  EXPECT_EQ(after.model_hash, before.model_hash);
  EXPECT_EQ(after.backend, before.backend);
  EXPECT_EQ(after.precision, before.precision);
  EXPECT_EQ(after.profiles, before.profiles);
  EXPECT_EQ(after.workspace_bytes, before.workspace_bytes);
  EXPECT_EQ(after.preprocess, before.preprocess);
  EXPECT_EQ(after.labels, before.labels);
  ASSERT_EQ(after.layers.size(), 1u);
  EXPECT_EQ(after.layers[0].name, "fc");
  EXPECT_EQ(after.layers[0].op, "Gemm");
  EXPECT_EQ(after.layers[0].stage, "head");
  EXPECT_EQ(after.layers[0].kernel, "gemm");
  EXPECT_EQ(after.layers[0].precision, "fp32");
  ASSERT_EQ(after.layers[0].refused.size(), 1u);
  EXPECT_EQ(after.layers[0].refused[0].kernel, "gemm_avx512");
  EXPECT_EQ(after.layers[0].refused[0].reason, "no AVX-512 here");
  EXPECT_EQ(after.layers[0].flops_per_image, 8.5);
  EXPECT_EQ(after.certificate_json, "");
  EXPECT_EQ(engine->hash, *hash);
  EXPECT_EQ(engine->file_bytes, static_cast<int64_t>(read_all(dir / "e.vtl").size()));
  EXPECT_EQ(engine->weight_bytes, 16 + 8 + 16 + 0 + 8);
}

TEST(RoundTrip, SameContentsGiveTheSameBytesAndReloadingChangesNone) {
  TempDir dir;
  auto first = write_engine(dir / "a.vtl", sample_info(), sample_graph());
  auto second = write_engine(dir / "b.vtl", sample_info(), sample_graph());
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(read_all(dir / "a.vtl"), read_all(dir / "b.vtl"));

  auto engine = load_engine(dir / "a.vtl");
  ASSERT_TRUE(engine.ok());
  ASSERT_TRUE(write_engine(dir / "c.vtl", engine->info, *engine->graph).ok());
  EXPECT_EQ(read_all(dir / "a.vtl"), read_all(dir / "c.vtl"));

  Graph other = sample_graph();
  other.value(other.find("w")).constant->as_mutable<float>()[0] = 7;
  auto third = write_engine(dir / "d.vtl", sample_info(), other);
  ASSERT_TRUE(third.ok());
  EXPECT_NE(*first, *third);
}

TEST(RoundTrip, WeightsAreAlignedInTheMapAndOutliveTheEngine) {
  TempDir dir;
  ASSERT_TRUE(write_engine(dir / "e.vtl", sample_info(), sample_graph()).ok());
  Tensor w;
  {
    auto engine = load_engine(dir / "e.vtl");
    ASSERT_TRUE(engine.ok());
    for (const Value& v : engine->graph->values) {
      if (!v.constant) continue;
      EXPECT_EQ(reinterpret_cast<uintptr_t>(v.constant->data()) % kSegmentAlignment, 0u) << v.name;
    }
    w = *engine->graph->value(engine->graph->find("w")).constant;
  }
  EXPECT_EQ(w.as<float>()[3], 4.0f);
}

TEST(HashFile, KnownAnswer) {
  TempDir dir;
  test::write_all(dir / "empty", "");
  auto empty = hash_file(dir / "empty");
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(*empty, "99aa06d3014798d86001c324468d497f");  // xxhsum -H2 of nothing
  auto missing = hash_file(dir / "missing");
  EXPECT_EQ(missing.status().code(), Code::kIo);
}

}  // namespace
}  // namespace vitrail
