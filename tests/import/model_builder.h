// SPDX-License-Identifier: Apache-2.0
// Small ONNX models, built by hand and imported through a file.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "import/onnx/import.h"
#include "onnx/onnx.pb.h"

namespace vitrail::testing_import {

namespace fs = std::filesystem;

// A folder that disappears with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "vitrail_import_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  fs::path operator/(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

inline void write_bytes(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// One dimension of an input: a number, or a name for an open one; the empty name stands for "unknown".
struct TestDim {
  TestDim(int64_t size) : size(size) {}
  TestDim(int size) : size(size) {}
  TestDim(const char* name) : name(name) {}
  int64_t size = 0;
  std::string name;
};

template <class T>
std::string raw_bytes(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

class ModelBuilder {
 public:
  explicit ModelBuilder(int64_t opset = 17) {
    proto.set_ir_version(8);
    proto.add_opset_import()->set_version(opset);
    graph().set_name("test");
  }

  onnx::GraphProto& graph() { return *proto.mutable_graph(); }

  static void fill_value(onnx::ValueInfoProto& info, const std::string& name,
                         const std::vector<TestDim>& dims, int32_t type = 1) {
    info.set_name(name);
    auto& tensor = *info.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(type);
    tensor.mutable_shape();
    for (const TestDim& d : dims) {
      auto& dim = *tensor.mutable_shape()->add_dim();
      if (!d.name.empty()) dim.set_dim_param(d.name);
      if (d.size) dim.set_dim_value(d.size);
    }
  }

  ModelBuilder& input(const std::string& name, const std::vector<TestDim>& dims, int32_t type = 1) {
    fill_value(*graph().add_input(), name, dims, type);
    return *this;
  }
  ModelBuilder& output(const std::string& name) {
    graph().add_output()->set_name(name);
    return *this;
  }

  onnx::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs, const std::string& name = "") {
    return fill_node(*graph().add_node(), op, inputs, outputs, name);
  }
  static onnx::NodeProto& fill_node(onnx::NodeProto& n, const std::string& op,
                                    const std::vector<std::string>& inputs,
                                    const std::vector<std::string>& outputs, const std::string& name = "") {
    n.set_op_type(op);
    n.set_name(name);
    for (const auto& i : inputs) n.add_input(i);
    for (const auto& o : outputs) n.add_output(o);
    return n;
  }

  onnx::TensorProto& initializer(const std::string& name, const std::vector<int64_t>& dims, int32_t type) {
    auto& t = *graph().add_initializer();
    t.set_name(name);
    t.set_data_type(type);
    for (int64_t d : dims) t.add_dims(d);
    return t;
  }
  ModelBuilder& floats(const std::string& name, const std::vector<int64_t>& dims,
                       const std::vector<float>& values) {
    initializer(name, dims, 1).set_raw_data(raw_bytes(values));
    return *this;
  }
  ModelBuilder& ints(const std::string& name, const std::vector<int64_t>& dims,
                     const std::vector<int64_t>& values) {
    initializer(name, dims, 7).set_raw_data(raw_bytes(values));
    return *this;
  }

  onnx::ModelProto proto;
};

inline void set_int(onnx::NodeProto& node, const std::string& name, int64_t value) {
  auto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(onnx::AttributeProto::INT);
  a.set_i(value);
}
inline void set_ints(onnx::NodeProto& node, const std::string& name, const std::vector<int64_t>& values) {
  auto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(onnx::AttributeProto::INTS);
  for (int64_t v : values) a.add_ints(v);
}
inline void set_float(onnx::NodeProto& node, const std::string& name, float value) {
  auto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(onnx::AttributeProto::FLOAT);
  a.set_f(value);
}

// x of [N,3] through one node to y; the common skeleton of the tests.
inline ModelBuilder one_node(const std::string& op, int64_t opset = 17) {
  ModelBuilder m(opset);
  m.input("x", {"batch", 3}).output("y");
  m.node(op, {"x"}, {"y"}, "layer");
  return m;
}

class ImportTest : public ::testing::Test {
 protected:
  Result<Graph> import(const ModelBuilder& model, const ImportOptions& options = {}) {
    write_bytes(folder_ / "model.onnx", model.proto.SerializeAsString());
    report_ = {};
    return import_onnx((folder_ / "model.onnx").string(), options, &report_);
  }
  Graph import_ok(const ModelBuilder& model, const ImportOptions& options = {}) {
    auto graph = import(model, options);
    EXPECT_TRUE(graph.ok()) << graph.status().message();
    return graph.ok() ? std::move(*graph) : Graph();
  }
  // The import fails as bad input, and the message names the file and says all of `parts`.
  void expect_error(const ModelBuilder& model, std::initializer_list<const char*> parts,
                    Code code = Code::kBadInput, const ImportOptions& options = {}) {
    const auto graph = import(model, options);
    ASSERT_FALSE(graph.ok());
    EXPECT_EQ(graph.status().code(), code);
    if (code != Code::kUsage) {
      EXPECT_THAT(graph.status().message(), ::testing::HasSubstr("model.onnx"));
    }
    for (const char* part : parts) EXPECT_THAT(graph.status().message(), ::testing::HasSubstr(part));
  }

  TemporaryFolder folder_;
  ImportReport report_;
};

template <class T>
std::vector<T> values_of(const Graph& graph, std::string_view name) {
  const ValueId id = graph.find(name);
  if (!graph.is_constant(id)) {
    ADD_FAILURE() << name << " is no constant";
    return {};
  }
  const auto span = graph.constant(id).as<T>();
  return {span.begin(), span.end()};
}

inline std::vector<int64_t> integers_of(const Graph& graph, ValueId id) {
  if (!graph.is_constant(id)) {
    ADD_FAILURE() << "input " << id << " is no constant";
    return {};
  }
  const auto span = graph.constant(id).as<int64_t>();
  return {span.begin(), span.end()};
}

}  // namespace vitrail::testing_import
