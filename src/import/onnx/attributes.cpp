// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/attributes.h"

#include "core/error.h"

namespace vitrail::onnx_import {
namespace {

using onnx::AttributeProto;

// The file may say more than this schema knows; then type() is UNDEFINED.
Status unsupported(const AttributeProto& attribute) {
  return bad_input("attribute '{}' is of a kind (AttributeProto type {}) that Vitrail does not read",
                   attribute.name(), static_cast<int>(attribute.type()));
}

}  // namespace

bool holds_graph(const AttributeProto& attribute) {
  return attribute.type() == AttributeProto::GRAPH || attribute.type() == AttributeProto::GRAPHS ||
         attribute.has_g() || !attribute.graphs().empty();
}

Result<Attribute> read_attribute(const AttributeProto& attribute, TensorReader& tensors) {
  if (!attribute.ref_attr_name().empty())
    return bad_input("attribute '{}' refers to a function's attribute, but the layer is in no function",
                     attribute.name());
  switch (attribute.type()) {
    case AttributeProto::INT:
      return Attribute(attribute.i());
    case AttributeProto::FLOAT:
      return Attribute(attribute.f());
    case AttributeProto::STRING:
      return Attribute(attribute.s());
    case AttributeProto::INTS:
      return Attribute(std::vector<int64_t>(attribute.ints().begin(), attribute.ints().end()));
    case AttributeProto::FLOATS:
      return Attribute(std::vector<float>(attribute.floats().begin(), attribute.floats().end()));
    case AttributeProto::STRINGS:
      return Attribute(std::vector<std::string>(attribute.strings().begin(), attribute.strings().end()));
    case AttributeProto::TENSOR: {
      auto tensor = tensors.read(attribute.t());
      if (!tensor.ok()) return tensor.status().with_context(fmt::format("attribute '{}'", attribute.name()));
      return Attribute(std::move(*tensor));
    }
    default:
      return unsupported(attribute);
  }
}

Result<Tensor> read_constant(const onnx::NodeProto& node, TensorReader& tensors) {
  if (node.attribute_size() != 1)
    return bad_input("Constant has {} attributes, but takes exactly one", node.attribute_size());
  const AttributeProto& a = node.attribute(0);
  if (a.type() == AttributeProto::STRING || a.type() == AttributeProto::STRINGS) return unsupported(a);
  VTL_ASSIGN(const Attribute value, read_attribute(a, tensors));
  if (const auto* tensor = std::get_if<Tensor>(&value)) return *tensor;
  if (const auto* i = std::get_if<int64_t>(&value)) return Tensor::i64({}, {*i});
  if (const auto* f = std::get_if<float>(&value)) return Tensor::f32({}, {*f});
  if (const auto* ints = std::get_if<std::vector<int64_t>>(&value))
    return Tensor::i64({static_cast<int64_t>(ints->size())}, *ints);
  const auto& floats = std::get<std::vector<float>>(value);
  return Tensor::f32({static_cast<int64_t>(floats.size())}, floats);
}

}  // namespace vitrail::onnx_import
