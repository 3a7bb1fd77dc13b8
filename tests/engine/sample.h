// SPDX-License-Identifier: Apache-2.0
// A small engine with every kind of attribute, and helpers that read and write whole files.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "engine/engine.h"

namespace vitrail::test {

// A folder that is removed with all that is in it.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "vtl-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string string() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

inline std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Always into a new file: truncating an old one makes ext4 wait for the disk.
inline void write_all(const std::string& path, const std::string& bytes) {
  std::filesystem::remove(path);
  std::ofstream(path, std::ios::binary) << bytes;
}

inline Graph sample_graph() {
  Graph g;
  g.name = "sample";
  g.opset = 17;
  g.metadata = {{"vitrail.preprocess", "{}"}, {"author", "Grüße ✓"}};
  auto activation = [&](std::string name) {
    return g.add_value({std::move(name), DType::kF32, SymShape{Dim::batch(), Dim::of(2)}, {}, {}});
  };
  const ValueId x = activation("x");
  const ValueId w = g.add_constant("w", Tensor::f32({2, 2}, {1, 2, 3, 4}));
  const ValueId b = g.add_constant("b", Tensor::f32({2}, {-0.5f, 0.1f}));
  const ValueId shape = g.add_constant("shape", Tensor::i64({2}, {std::numeric_limits<int64_t>::min(), 2}));
  const ValueId none = g.add_constant("none", Tensor(DType::kU8, {0, 3}));
  const ValueId y = activation("y");
  const ValueId rows = g.add_value({"rows", DType::kI64, SymShape{Dim::of(1)}, {}, std::vector{Dim{2, 1}}});
  const ValueId z = activation("z");
  const ValueId unknown = g.add_value({"unknown", DType::kUndefined, {}, {}, {}});

  g.nodes.push_back({Op::Gemm, "fc", {x, w, b}, {y}, {}, "head"});
  g.nodes.push_back({Op::Shape, "rows", {y}, {rows}, {}, ""});
  g.nodes.push_back({Op::Clip, "clip", {y, kNoValue, kNoValue}, {z, unknown}, {}, "head"});
  g.nodes[2].outputs.pop_back();
  g.nodes[0].attributes = {{"transB", int64_t{1}},
                           {"alpha", 0.1f},
                           {"kernel", std::string("gemm_f32_avx2")},
                           {"perm", std::vector<int64_t>{0, -1, std::numeric_limits<int64_t>::max()}},
                           {"scales", std::vector<float>{1e-45f, -0.0f, std::numeric_limits<float>::max()}},
                           {"names", std::vector<std::string>{"", "a\"b\\\n", "é"}},
                           {"value", Tensor::i64({1}, {42})}};
  g.nodes[2].attributes = {{"min", -std::numeric_limits<float>::infinity()},
                           {"max", std::numeric_limits<float>::infinity()},
                           {"nan", std::nanf("")},
                           {"empty", std::vector<int64_t>{}},
                           {"no_floats", std::vector<float>{}},
                           {"no_strings", std::vector<std::string>{}}};
  g.inputs = {x};
  g.outputs = {z};
  (void)shape, (void)none;
  return g;
}

inline EngineInfo sample_info() {
  EngineInfo info;
  info.producer = "vitrail 0.1.0";
  info.model_name = "tiny.onnx";
  info.model_hash = std::string(32, 'a');
  info.backend = "reference";
  info.precision = "fp32";
  info.profiles = {{1, 8, 64}, {100, 100, 128}};
  info.workspace_bytes = int64_t{1} << 33;
  info.preprocess.height = 32;
  info.preprocess.crop_pct = 0.9;
  info.preprocess.color = "BGR";
  info.labels = {"cat", "Hündin"};
  info.layers = {{"fc", "Gemm", "head", "gemm", "fp32", {{"gemm_avx512", "no AVX-512 here"}}, 8.5}};
  return info;
}

}  // namespace vitrail::test
