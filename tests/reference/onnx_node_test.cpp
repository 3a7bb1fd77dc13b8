// SPDX-License-Identifier: Apache-2.0
// ONNX's own backend node tests, imported and run on the reference backend, compared as ONNX's runner does.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <regex>
#include <set>

#include "../tools/python.h"
#include "backends/reference/execute.h"
#include "core/half.h"
#include "import/onnx/import.h"
#include "import/onnx/tensor_reader.h"
#include "onnx/onnx.pb.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;

// 868 run with onnx 1.23; far fewer mean that the importer or the backend has lost something.
constexpr size_t kLeastRun = 700;

// $VTL_ONNX_NODE_TESTS (scripts/test.sh sets it), or what onnx_node_tests.py makes with test_python().
Result<fs::path> node_tests() {
  if (const char* given = std::getenv("VTL_ONNX_NODE_TESTS")) return fs::path(given);
  const fs::path source = VTL_SOURCE_DIR, folder = source / ".cache/onnx_node_tests";
  const std::string python = test_python();
  const std::string command =
      "'" + python + "' '" + (source / "tests/reference/onnx_node_tests.py").string() + "' '" +
      (source / "src/graph/ops.def").string() + "' '" + (source / "src/import/onnx/restated.def").string() +
      "' '" + folder.string() + "' >/dev/null 2>&1";
  if (std::system(command.c_str()) != 0)
    return Status(Code::kUnavailable, "this fails (is onnx there?): " + command);
  return folder;
}

// The tensor of a .pb file, with its name.
std::optional<NamedTensor> read_tensor(const fs::path& path, std::string& why_not) {
  onnx::TensorProto proto;
  std::ifstream file(path, std::ios::binary);
  if (!proto.ParseFromIstream(&file))
    return why_not = "not a tensor: " + path.filename().string(), std::nullopt;
  onnx_import::TensorReader reader(nullptr, path.parent_path());
  auto tensor = reader.read(proto);
  if (!tensor.ok()) return why_not = tensor.status().message(), std::nullopt;
  return NamedTensor{proto.name(), tensor->clone()};
}

double element(const Tensor& t, size_t i) {
  switch (t.dtype()) {
    case DType::kF32:
      return static_cast<double>(t.as<float>()[i]);
    case DType::kF64:
      return t.as<double>()[i];
    case DType::kF16:
      return static_cast<double>(half_to_float(t.as<uint16_t>()[i]));
    default:
      return static_cast<double>(bfloat16_to_float(t.as<uint16_t>()[i]));
  }
}

bool is_float(DType d) {
  return d == DType::kF32 || d == DType::kF64 || d == DType::kF16 || d == DType::kBF16;
}

// Models in 16 bits round after every layer, ONNX's NumPy functions only now and then: two units in the last
// place.
double least_rtol(DType d) { return d == DType::kBF16 ? 0x1p-6 : d == DType::kF16 ? 0x1p-9 : 0; }

// Empty when equal within the tolerance.
std::string difference(const Tensor& got, const Tensor& want, double rtol, double atol) {
  if (got.dtype() != want.dtype() || got.shape() != want.shape())
    return std::string(dtype_name(got.dtype())) + to_string(got.shape()) + ", expected " +
           std::string(dtype_name(want.dtype())) + to_string(want.shape());
  if (!is_float(got.dtype()))
    return got.bytes() == 0 || std::memcmp(got.data(), want.data(), got.bytes()) == 0 ? ""
                                                                                      : "integers differ";
  rtol = std::max(rtol, least_rtol(got.dtype()));
  for (size_t i = 0; i < static_cast<size_t>(got.count()); ++i) {
    const double a = element(got, i), b = element(want, i);
    const bool same = std::isnan(b) ? std::isnan(a) : a == b || std::abs(a - b) <= atol + rtol * std::abs(b);
    if (!same)
      return "[" + std::to_string(i) + "] = " + std::to_string(a) + ", expected " + std::to_string(b);
  }
  return "";
}

// The message without its names and numbers, so that like reasons count together.
std::string kind_of(const std::string& message) {
  static const std::regex names("'[^']*'|/[^ :]*|[0-9]+|\\[[^]]*\\]");
  return std::regex_replace(message, names, "…").substr(0, 110);
}

struct Tally {
  size_t ran = 0;
  std::map<std::string, std::vector<std::string>> skipped;  // by reason
};

// Reads the numbered tensors of one kind; false when a type is not Vitrail's.
bool read_all(const fs::path& data, const std::string& kind, std::vector<NamedTensor>& out,
              std::string& why_not) {
  for (int i = 0; fs::exists(data / (kind + std::to_string(i) + ".pb")); ++i) {
    auto tensor = read_tensor(data / (kind + std::to_string(i) + ".pb"), why_not);
    if (!tensor) return false;
    out.push_back(std::move(*tensor));
  }
  return true;
}

void run_case(const fs::path& folder, Tally& tally) {
  const std::string name = folder.filename().string();
  auto graph = import_onnx((folder / "model.onnx").string());
  if (!graph.ok()) {
    tally.skipped[kind_of(graph.status().message())].push_back(name);
    return;
  }
  std::vector<NamedTensor> inputs, wanted;
  std::string why_not;
  const fs::path data = folder / "test_data_set_0";
  if (!read_all(data, "input_", inputs, why_not) || !read_all(data, "output_", wanted, why_not)) {
    tally.skipped[kind_of(why_not)].push_back(name);
    return;
  }
  double rtol = 1e-3, atol = 1e-7;
  std::ifstream(folder / "tolerance") >> rtol >> atol;
  ++tally.ran;
  // Straight to the kernels: some inputs have extents of 0, which run_graph() would not take for a batch.
  std::vector<Tensor> ordered;
  for (ValueId id : graph->inputs)
    for (const NamedTensor& input : inputs)
      if (input.name == graph->value(id).name) ordered.push_back(input.tensor);
  ASSERT_EQ(ordered.size(), graph->inputs.size()) << name;
  std::map<std::string, Tensor> outputs;
  const auto sink = [&](size_t output, const Tensor& content) {
    outputs[graph->value(graph->outputs[output]).name] = content;
    return Status();
  };
  const Status status =
      reference::execute(*graph, reference::last_readers(*graph), ordered, sink, nullptr, nullptr);
  ASSERT_TRUE(status.ok()) << name << ": " << status.message();
  for (const NamedTensor& want : wanted) {
    ASSERT_TRUE(outputs.count(want.name)) << name << " has no output " << want.name;
    EXPECT_EQ(difference(outputs[want.name], want.tensor, rtol, atol), "")
        << name << ", output " << want.name;
  }
}

TEST(OnnxNodeTests, AllOfOursPass) {
  const auto folder = node_tests();
  if (!folder.ok()) GTEST_SKIP() << folder.status().message();
  std::set<fs::path> cases;
  for (const auto& entry : fs::directory_iterator(*folder))
    if (fs::exists(entry.path() / "model.onnx")) cases.insert(entry.path());
  Tally tally;
  for (const fs::path& path : cases) run_case(path, tally);
  std::cout << tally.ran << " of " << cases.size()
            << " ONNX node tests of Vitrail's operators ran; not run:\n";
  for (const auto& [reason, names] : tally.skipped)
    std::cout << "  " << names.size() << " × " << reason << " (" << names.front()
              << (names.size() > 1 ? ", …)\n" : ")\n");
  EXPECT_GE(tally.ran, kLeastRun);
}

}  // namespace
}  // namespace vitrail
