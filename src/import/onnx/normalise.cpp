// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/normalise.h"

#include <utility>

#include "core/error.h"

namespace vitrail::onnx_import {
namespace {

constexpr int64_t kSoftmaxOnOneAxis = 13;  // the opset that changed Softmax and LogSoftmax

void set_input(Node& node, size_t index, ValueId id) {
  if (node.inputs.size() <= index) node.inputs.resize(index + 1, kNoValue);
  node.inputs[index] = id;
}

ValueId add_integers(const NormaliseContext& context, const std::string& name,
                     const std::vector<int64_t>& values) {
  return context.graph.add_constant(context.names.make(name),
                                    Tensor::i64({static_cast<int64_t>(values.size())}, values));
}

// Reduce* before opset 18 (ReduceSum: 13), Squeeze, Unsqueeze and Split before 13 have an attribute for what
// is an input now.
Status attribute_to_input(const NormaliseContext& context, Node& node, const char* attribute) {
  const std::vector<int64_t> values = node.integers(attribute);
  const auto found = node.attributes.find(attribute);
  if (found != node.attributes.end() && !std::holds_alternative<std::vector<int64_t>>(found->second))
    return bad_input("attribute '{}' is no list of integers", attribute);
  if (!values.empty() && node.input(1) == kNoValue)
    set_input(node, 1, add_integers(context, node.name + "." + attribute, values));
  node.attributes.erase(attribute);
  return {};
}

// Without sizes, older opsets split into as many equal parts as there are outputs; the newest has an
// attribute for it.
Status split_parts(const NormaliseContext& context, Node& node) {
  VTL_TRY(attribute_to_input(context, node, "split"));
  if (node.input(1) == kNoValue && !node.has("num_outputs"))
    node.attributes["num_outputs"] = static_cast<int64_t>(node.outputs.size());
  return {};
}

Status inference_dropout(const NormaliseContext& context, Node& node) {
  const ValueId mode = node.input(2);
  if (mode != kNoValue) {
    const bool known = context.graph.is_constant(mode) && context.graph.constant(mode).bytes() == 1;
    if (!known || context.graph.constant(mode).as<uint8_t>()[0])
      return bad_input("Dropout is in training mode: export the model after model.eval()");
  }
  node.inputs.resize(1);
  node.attributes.erase("ratio");
  return {};
}

Status inference_batch_norm(Node& node) {
  if (node.integer("training_mode", 0) != 0)
    return bad_input("BatchNormalization is in training mode: export the model after model.eval()");
  node.attributes.erase("training_mode");
  node.attributes.erase("momentum");
  return {};
}

// Opset 11 demands roi and scales and lets them be empty tensors.
Status resize_inputs(const NormaliseContext& context, Node& node) {
  for (ValueId& id : node.inputs)
    if (context.graph.is_constant(id) && context.graph.constant(id).count() == 0) id = kNoValue;
  while (node.inputs.back() == kNoValue && node.inputs.size() > 1) node.inputs.pop_back();
  const bool scales = node.input(2) != kNoValue, sizes = node.input(3) != kNoValue;
  if (scales == sizes)
    return bad_input("Resize has {} scales and sizes; it takes exactly one of them",
                     scales ? "both" : "neither");
  return {};
}

// Before opset 13, Softmax works on all axes from `axis` (1 by default) on as if they were one. When that is
// the last axis alone it is today's Softmax; else it goes through a matrix and back: Flatten, Softmax,
// Reshape to the shape before.
void softmax_axis(const NormaliseContext& context, Node node, std::vector<Node>& out) {
  int64_t axis = node.integer("axis", 1);
  const ValueId input = node.input(0);
  if (!context.graph.value(input).shape) context.infer();
  const auto& dims = context.graph.value(input).shape;
  const bool is_last = axis == -1 || (dims && axis == std::ssize(*dims) - 1);
  node.attributes["axis"] = int64_t{-1};
  if (is_last || node.outputs.empty()) return out.push_back(std::move(node));

  auto value = [&](const char* suffix) {
    Value v;
    v.name = context.names.make(node.name + suffix);
    return context.graph.add_value(std::move(v));
  };
  const ValueId shape = value(".shape"), matrix = value(".matrix"), result = value(".softmax");
  const ValueId output = std::exchange(node.outputs[0], result);
  const std::string& name = node.name;
  out.push_back({Op::Shape, name + ".shape", {input}, {shape}, {}, ""});
  out.push_back({Op::Flatten, name + ".flatten", {input}, {matrix}, {{"axis", axis}}, ""});
  node.inputs[0] = matrix;
  out.push_back(node);
  out.push_back({Op::Reshape, name + ".reshape", {result, shape}, {output}, {}, ""});
}

}  // namespace

std::string UniqueNames::make(const std::string& wanted) {
  if (used_.insert(wanted).second) return wanted;
  for (int i = 1;; ++i)
    if (const auto [it, added] = used_.insert(fmt::format("{}_{}", wanted, i)); added) return *it;
}

Status normalise(const NormaliseContext& context, Node node, std::vector<Node>& out) {
  if (node.input(0) == kNoValue && op_info(node.op).min_inputs > 0)
    return bad_input("{} lacks its first input", op_name(node.op));
  switch (node.op) {
    case Op::ReduceL2:
    case Op::ReduceMax:
    case Op::ReduceMean:
    case Op::ReduceMin:
    case Op::ReduceProd:
    case Op::ReduceSum:
    case Op::ReduceSumSquare:
    case Op::Squeeze:
    case Op::Unsqueeze:
      VTL_TRY(attribute_to_input(context, node, "axes"));
      break;
    case Op::Split:
      VTL_TRY(split_parts(context, node));
      break;
    case Op::Dropout:
      VTL_TRY(inference_dropout(context, node));
      break;
    case Op::BatchNormalization:
      VTL_TRY(inference_batch_norm(node));
      break;
    case Op::Resize:
      VTL_TRY(resize_inputs(context, node));
      break;
    case Op::Softmax:
    case Op::LogSoftmax:
      if (context.opset >= kSoftmaxOnOneAxis) break;
      softmax_axis(context, std::move(node), out);
      return {};
    default:
      break;
  }
  out.push_back(std::move(node));
  return {};
}

}  // namespace vitrail::onnx_import
