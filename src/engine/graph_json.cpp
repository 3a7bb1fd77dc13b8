// SPDX-License-Identifier: Apache-2.0
#include "engine/graph_json.h"

#include <cfloat>
#include <climits>
#include <cmath>

#include "core/error.h"
#include "engine/format.h"
#include "engine/json_cursor.h"
#include "engine/validate.h"

namespace vitrail {
namespace {

using nlohmann::json;

// --- writing
// ---------------------------------------------------------------------------------------------------

json dims_to_json(const std::vector<Dim>& dims) {
  json out = json::array();
  for (Dim d : dims) out.push_back({d.per_batch, d.fixed});
  return out;
}

json tensor_to_json(const Tensor& tensor, std::vector<Tensor>* tensors) {
  tensors->push_back(tensor);
  return {{"dtype", dtype_name(tensor.dtype())},
          {"shape", tensor.shape()},
          {"segment", kFirstTensorSegment + tensors->size() - 1}};
}

json value_to_json(const Value& value, std::vector<Tensor>* tensors) {
  json out{{"name", value.name}};
  if (value.constant) {
    out["constant"] = tensor_to_json(*value.constant, tensors);
  } else {
    out["dtype"] = dtype_name(value.dtype);
    if (value.shape) out["shape"] = dims_to_json(*value.shape);
  }
  if (value.integers) out["integers"] = dims_to_json(*value.integers);
  return out;
}

struct AttributeWriter {
  std::vector<Tensor>* tensors;
  json operator()(int64_t v) const { return {{"int", v}}; }
  json operator()(float v) const { return {{"float", real_to_json(v)}}; }
  json operator()(const std::string& v) const { return {{"string", v}}; }
  json operator()(const std::vector<int64_t>& v) const { return {{"ints", v}}; }
  json operator()(const std::vector<std::string>& v) const { return {{"strings", v}}; }
  json operator()(const Tensor& v) const { return {{"tensor", tensor_to_json(v, tensors)}}; }
  json operator()(const std::vector<float>& v) const {
    json list = json::array();
    for (float f : v) list.push_back(real_to_json(f));
    return {{"floats", list}};
  }
};

json node_to_json(const Node& node, std::vector<Tensor>* tensors) {
  json attributes = json::object();
  for (const auto& [name, value] : node.attributes)
    attributes[name] = std::visit(AttributeWriter{tensors}, value);
  return {{"op", op_name(node.op)},  {"name", node.name},   {"inputs", node.inputs},
          {"outputs", node.outputs}, {"stage", node.stage}, {"attributes", std::move(attributes)}};
}

// --- reading
// ---------------------------------------------------------------------------------------------------

class GraphReader {
 public:
  GraphReader(std::span<const ByteSpan> segments, const std::shared_ptr<const void>& owner)
      : segments_(segments), owner_(owner) {}

  Graph read(const JsonCursor& j) const {
    Graph graph;
    graph.name = j["name"].text();
    graph.opset = j["opset"].integer();
    j["metadata"].for_each_member(
        [&](const std::string& key, const JsonCursor& c) { graph.metadata[key] = c.text(); });
    j["values"].for_each([&](const JsonCursor& c) { graph.values.push_back(value(c)); });
    j["nodes"].for_each([&](const JsonCursor& c) { graph.nodes.push_back(node(c)); });
    graph.inputs = ids(j["inputs"]);
    graph.outputs = ids(j["outputs"]);
    return graph;
  }

 private:
  DType dtype(const JsonCursor& j) const {
    const std::string name = j.text();
    const DType dtype = dtype_from_name(name);
    if (dtype == DType::kUndefined && name != dtype_name(dtype))
      j.fault(fmt::format("'{}' is not a type", name));
    return dtype;
  }

  std::vector<Dim> dims(const JsonCursor& j) const {
    std::vector<Dim> out;
    j.for_each([&](const JsonCursor& c) { out.push_back({c[size_t{0}].integer(), c[size_t{1}].integer()}); });
    return out;
  }

  std::vector<ValueId> ids(const JsonCursor& j) const {
    std::vector<ValueId> out;
    j.for_each(
        [&](const JsonCursor& c) { out.push_back(static_cast<ValueId>(c.integer(kNoValue, INT32_MAX))); });
    return out;
  }

  std::vector<int64_t> integers(const JsonCursor& j) const {
    std::vector<int64_t> out;
    j.for_each([&](const JsonCursor& c) { out.push_back(c.integer()); });
    return out;
  }

  float real(const JsonCursor& j) const {
    const double value = j.real();
    if (!std::isfinite(value) || std::abs(value) <= FLT_MAX) return static_cast<float>(value);
    j.fault("does not fit a float");
    return 0;
  }

  Tensor tensor(const JsonCursor& j) const {
    const DType type = dtype(j["dtype"]);
    Shape shape = integers(j["shape"]);
    // The last segment is the certificate.
    const auto last = static_cast<int64_t>(segments_.size()) - 2;
    const auto segment = static_cast<size_t>(j["segment"].integer(kFirstTensorSegment, last));
    if (!j.ok()) return {};
    const auto bytes = checked_bytes(type, shape);
    if (type == DType::kUndefined || !bytes || static_cast<uint64_t>(*bytes) != segments_[segment].size()) {
      j.fault(fmt::format("{}{} does not fit its segment {} of {} bytes", dtype_name(type), to_string(shape),
                          segment, segments_[segment].size()));
      return {};
    }
    return Tensor(type, std::move(shape), segments_[segment].data(), owner_);
  }

  Value value(const JsonCursor& j) const {
    Value v;
    v.name = j["name"].text();
    if (j.has("constant")) {
      v.constant = tensor(j["constant"]);
      v.dtype = v.constant->dtype();
      v.shape = sym_shape(v.constant->shape());
    } else {
      v.dtype = dtype(j["dtype"]);
      if (j.has("shape")) v.shape = dims(j["shape"]);
    }
    if (j.has("integers")) v.integers = dims(j["integers"]);
    return v;
  }

  Attribute attribute(const JsonCursor& j) const {
    if (j.has("int")) return j["int"].integer();
    if (j.has("float")) return real(j["float"]);
    if (j.has("string")) return j["string"].text();
    if (j.has("ints")) return integers(j["ints"]);
    if (j.has("tensor")) return tensor(j["tensor"]);
    if (j.has("floats")) {
      std::vector<float> list;
      j["floats"].for_each([&](const JsonCursor& c) { list.push_back(real(c)); });
      return list;
    }
    std::vector<std::string> list;
    j["strings"].for_each([&](const JsonCursor& c) { list.push_back(c.text()); });
    return list;
  }

  Node node(const JsonCursor& j) const {
    Node n{Op::Identity, j["name"].text(), ids(j["inputs"]), ids(j["outputs"]), {}, j["stage"].text()};
    const std::string op = j["op"].text();
    if (const auto known = op_from_name(op))
      n.op = *known;
    else
      j["op"].fault(fmt::format("of layer '{}': this Vitrail has no operator '{}'", n.name, op));
    j["attributes"].for_each_member(
        [&](const std::string& key, const JsonCursor& c) { n.attributes[key] = attribute(c); });
    return n;
  }

  std::span<const ByteSpan> segments_;
  const std::shared_ptr<const void>& owner_;
};

}  // namespace

Result<std::string> graph_to_json(const Graph& graph, std::vector<Tensor>* tensors) {
  json values = json::array(), nodes = json::array();
  for (const Value& v : graph.values) values.push_back(value_to_json(v, tensors));
  for (const Node& n : graph.nodes) nodes.push_back(node_to_json(n, tensors));
  return dump_json({{"name", graph.name},
                    {"opset", graph.opset},
                    {"metadata", graph.metadata},
                    {"inputs", graph.inputs},
                    {"outputs", graph.outputs},
                    {"values", std::move(values)},
                    {"nodes", std::move(nodes)}});
}

Result<Graph> graph_from_json(std::string_view text, std::span<const ByteSpan> segments,
                              const std::shared_ptr<const void>& owner) {
  VTL_ASSIGN(const json document, parse_json(text));
  Status status;
  Graph graph = GraphReader(segments, owner).read(JsonCursor(document, status));
  if (!status.ok()) return status;
  return graph;
}

}  // namespace vitrail
