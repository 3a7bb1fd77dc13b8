// SPDX-License-Identifier: Apache-2.0
#include "quant/onnx_writer.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/files.h"
#include "import/onnx/tensor_reader.h"
#include "onnx/onnx.pb.h"
#include "vitrail/version.h"

namespace vitrail {
namespace {

constexpr int64_t kLeastOpset = 18;  // the axes of reductions are inputs from here on, as in the graph
constexpr int kIrVersion = 8;        // of opset 18
constexpr int64_t kMostInline = int64_t{1} << 30;
constexpr int64_t kAlignment = 4096;  // of external data, so that it can be mapped

struct Newer {
  Op op;
  int64_t opset;
  int ir_version;
};
constexpr Newer kNewer[] = {{Op::Gelu, 20, 9}};

int first_opset_of_graph(const Graph& graph, int64_t& opset) {
  int ir = kIrVersion;
  opset = kLeastOpset;
  for (const Node& node : graph.nodes)
    for (const Newer& n : kNewer)
      if (n.op == node.op) opset = std::max(opset, n.opset), ir = std::max(ir, n.ir_version);
  return ir;
}

bool is_own(Op op) {
  return op == Op::Linear || op == Op::MultiHeadAttention || op == Op::PatchEmbed || op == Op::QuantizedLinear ||
         op == Op::RowStats || op == Op::Plan;
}

struct AttributeWriter {
  onnx::AttributeProto& to;

  void operator()(int64_t v) const { to.set_type(onnx::AttributeProto::INT), to.set_i(v); }
  void operator()(float v) const { to.set_type(onnx::AttributeProto::FLOAT), to.set_f(v); }
  void operator()(const std::string& v) const { to.set_type(onnx::AttributeProto::STRING), to.set_s(v); }
  void operator()(const std::vector<int64_t>& v) const {
    to.set_type(onnx::AttributeProto::INTS);
    to.mutable_ints()->Add(v.begin(), v.end());
  }
  void operator()(const std::vector<float>& v) const {
    to.set_type(onnx::AttributeProto::FLOATS);
    to.mutable_floats()->Add(v.begin(), v.end());
  }
  void operator()(const std::vector<std::string>& v) const {
    to.set_type(onnx::AttributeProto::STRINGS);
    for (const std::string& s : v) to.add_strings(s);
  }
  void operator()(const Tensor& v) const {
    to.set_type(onnx::AttributeProto::TENSOR);
    set_header(*to.mutable_t(), v);
    to.mutable_t()->set_raw_data(v.data(), v.bytes());
  }

  static void set_header(onnx::TensorProto& proto, const Tensor& tensor) {
    proto.set_data_type(onnx_import::dtype_to_onnx(tensor.dtype()));
    for (int64_t extent : tensor.shape()) proto.add_dims(extent);
  }
};

void write_type(const Value& value, onnx::ValueInfoProto& proto) {
  proto.set_name(value.name);
  auto* type = proto.mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx_import::dtype_to_onnx(value.dtype));
  if (!value.shape) return;
  auto* shape = type->mutable_shape();
  for (const Dim& d : *value.shape) {
    auto* dim = shape->add_dim();
    if (d.is_fixed())
      dim->set_dim_value(d.fixed);
    else if (d == Dim::batch())
      dim->set_dim_param("batch");
  }
}

// The weights behind the model, where they are too large to be in it.
class ExternalFile {
 public:
  explicit ExternalFile(std::string path) : path_(std::move(path)) {}

  void add(const Tensor& tensor, onnx::TensorProto& proto) {
    const int64_t gap = (kAlignment - at_ % kAlignment) % kAlignment;
    if (gap > 0) parts_.push_back(std::as_bytes(std::span(zeros_).first(static_cast<size_t>(gap))));
    at_ += gap;
    const std::string name = std::filesystem::path(path_).filename().string();
    proto.set_data_location(onnx::TensorProto::EXTERNAL);
    set(proto, "location", name);
    set(proto, "offset", std::to_string(at_));
    set(proto, "length", std::to_string(tensor.bytes()));
    parts_.push_back({static_cast<const std::byte*>(tensor.data()), tensor.bytes()});
    at_ += static_cast<int64_t>(tensor.bytes());
  }

  Status write() const { return parts_.empty() ? Status() : write_file_atomically(path_, parts_); }

 private:
  static void set(onnx::TensorProto& proto, const char* key, const std::string& value) {
    auto* entry = proto.add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }

  std::string path_;
  int64_t at_ = 0;
  std::vector<ByteSpan> parts_;
  std::vector<char> zeros_ = std::vector<char>(kAlignment);
};

// A Reshape whose target the clean-up has made an attribute (passes/cleanup.h); ONNX wants a constant.
constexpr const char* kShapeSuffix = ".shape";
bool is_folded_reshape(const Node& node) { return node.op == Op::Reshape && node.input(1) == kNoValue; }

void write_node(const Graph& graph, const Node& node, onnx::NodeProto& proto) {
  proto.set_name(node.name);
  proto.set_op_type(std::string(op_name(node.op)));
  for (ValueId id : node.inputs) proto.add_input(id == kNoValue ? "" : graph.value(id).name);
  for (ValueId id : node.outputs) proto.add_output(id == kNoValue ? "" : graph.value(id).name);
  const bool folded = is_folded_reshape(node);
  if (folded) proto.add_input(node.name + kShapeSuffix);
  for (const auto& [name, value] : node.attributes) {
    if (folded && name == "shape") continue;
    auto* attribute = proto.add_attribute();
    attribute->set_name(name);
    std::visit(AttributeWriter{*attribute}, value);
  }
}

// Constants that something reads, by id.
std::vector<ValueId> used_constants(const Graph& graph) {
  std::vector<bool> used(graph.values.size());
  const auto mark = [&](ValueId id) {
    if (graph.is_constant(id)) used[static_cast<size_t>(id)] = true;
  };
  for (const Node& node : graph.nodes)
    for (ValueId id : node.inputs) mark(id);
  for (ValueId id : graph.outputs) mark(id);
  std::vector<ValueId> ids;
  for (size_t i = 0; i < used.size(); ++i)
    if (used[i]) ids.push_back(static_cast<ValueId>(i));
  return ids;
}

}  // namespace

Status write_onnx(const Graph& graph, const std::string& path) {
  onnx::ModelProto model;
  int64_t opset = 0;
  model.set_ir_version(first_opset_of_graph(graph, opset));
  model.set_producer_name("vitrail");
  model.set_producer_version(version());
  auto* imported = model.add_opset_import();
  imported->set_domain("");
  imported->set_version(opset);
  for (const auto& [key, value] : graph.metadata) {
    auto* entry = model.add_metadata_props();
    entry->set_key(key);
    entry->set_value(value);
  }
  auto* proto = model.mutable_graph();
  proto->set_name(graph.name.empty() ? "vitrail" : graph.name);
  for (const Node& node : graph.nodes) {
    if (is_own(node.op))
      return usage_error("layer '{}': {} is not an ONNX operator; write the graph before it is fused", node.name,
                         op_name(node.op));
    write_node(graph, node, *proto->add_node());
    if (!is_folded_reshape(node)) continue;
    const auto shape = node.integers("shape");
    auto* target = proto->add_initializer();
    target->set_name(node.name + kShapeSuffix);
    AttributeWriter::set_header(*target, Tensor::i64({static_cast<int64_t>(shape.size())}, shape));
    target->set_raw_data(shape.data(), shape.size() * sizeof(int64_t));
  }
  for (ValueId id : graph.inputs) write_type(graph.value(id), *proto->add_input());
  for (ValueId id : graph.outputs) write_type(graph.value(id), *proto->add_output());

  const std::vector<ValueId> constants = used_constants(graph);
  int64_t bytes = 0;
  for (ValueId id : constants) bytes += static_cast<int64_t>(graph.constant(id).bytes());
  ExternalFile external(path + ".data");
  for (ValueId id : constants) {
    const Tensor& tensor = graph.constant(id);
    auto* initializer = proto->add_initializer();
    initializer->set_name(graph.value(id).name);
    AttributeWriter::set_header(*initializer, tensor);
    if (bytes > kMostInline && tensor.bytes() >= static_cast<size_t>(kAlignment))
      external.add(tensor, *initializer);
    else
      initializer->set_raw_data(tensor.data(), tensor.bytes());
  }
  std::string text;
  if (!model.SerializeToString(&text)) return internal_error("{}: the model could not be serialized", path);
  VTL_TRY(external.write());
  return write_file_atomically(path, text);
}

}  // namespace vitrail
