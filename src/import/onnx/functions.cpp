// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/functions.h"

#include <google/protobuf/io/coded_stream.h>

#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/error.h"
#include "import/onnx/model_file.h"

namespace vitrail::onnx_import {
namespace {

using onnx::AttributeProto;
using onnx::FunctionProto;
using onnx::NodeProto;

constexpr int kMaxDepth = 32;
constexpr int kMaxSteps = 200'000;             // layers and calls
constexpr size_t kMaxBytes = size_t{1} << 30;  // of copied layers, with the constants inside them

// Defaults of a function's attributes: FunctionProto.attribute_proto (field 11), which schemas before
// ONNX 1.13 keep as an unknown field. Reading the serialized message works with every schema.
std::vector<AttributeProto> attribute_defaults(const FunctionProto& function) {
  constexpr uint32_t kTag = 11 << 3 | 2;
  constexpr uint32_t kWireType = 7, kLengthDelimited = 2;
  std::vector<AttributeProto> defaults;
  const std::string bytes = function.SerializeAsString();
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  uint64_t number = 0;
  uint32_t length = 0;
  while (const uint32_t tag = in.ReadTag()) {
    if ((tag & kWireType) != kLengthDelimited) {  // FunctionProto has only messages, strings and varints
      if ((tag & kWireType) != 0 || !in.ReadVarint64(&number)) break;
      continue;
    }
    if (!in.ReadVarint32(&length)) break;
    const int begin = in.CurrentPosition();
    if (tag == kTag) defaults.emplace_back().ParseFromArray(bytes.data() + begin, static_cast<int>(length));
    if (!in.Skip(static_cast<int>(length))) break;
  }
  return defaults;
}

struct Function {
  const FunctionProto* proto;
  std::vector<AttributeProto> defaults;
};

class Inliner {
 public:
  Status collect(const onnx::ModelProto& model, int64_t opset) {
    for (const auto& f : model.functions()) {
      for (const auto& import : f.opset_import())
        if (is_default_domain(import.domain()) && import.version() != opset)
          return bad_input("function '{}' is written in opset {}, the model in {}: export it again", f.name(),
                           import.version(), opset);
      if (!functions_.try_emplace({f.domain(), f.name()}, Function{&f, attribute_defaults(f)}).second)
        return bad_input(
            "has two functions '{}' in domain '{}'; overloads are not supported: export it again with "
            "another opset or exporter",
            f.name(), f.domain());
    }
    return {};
  }

  // Appends the node to out_, or what it stands for.
  Status expand(NodeProto&& node, int depth) {
    if (++steps_ > kMaxSteps) return bad_input("its functions unfold to more than {} layers", kMaxSteps);
    if (copied_ > kMaxBytes) return bad_input("its functions unfold to more than {} bytes", kMaxBytes);
    const auto found = functions_.find({node.domain(), node.op_type()});
    if (found == functions_.end()) {
      out_.Add(std::move(node));
      return {};
    }
    if (depth == kMaxDepth)
      return bad_input("layer '{}': function '{}' is nested more than {} deep; is it recursive?", node.name(),
                       node.op_type(), kMaxDepth);
    return call(node, found->second, depth);
  }

  google::protobuf::RepeatedPtrField<NodeProto> take() { return std::move(out_); }

 private:
  Status call(const NodeProto& node, const Function& function, int depth) {
    const FunctionProto& f = *function.proto;
    if (node.input_size() > f.input_size() || node.output_size() > f.output_size())
      return bad_input("layer '{}': function '{}' takes {} inputs and makes {} outputs, not {} and {}",
                       node.name(), f.name(), f.input_size(), f.output_size(), node.input_size(),
                       node.output_size());
    const std::string prefix =
        fmt::format("{}.{}/", node.name().empty() ? node.op_type() : node.name(), serial_++);
    std::unordered_map<std::string, std::string> names{{"", ""}};
    for (int i = 0; i < f.input_size(); ++i) names[f.input(i)] = i < node.input_size() ? node.input(i) : "";
    for (int i = 0; i < node.output_size(); ++i) {
      if (node.output(i).empty()) continue;
      if (!names.try_emplace(f.output(i), node.output(i)).second) {  // the function hands its input through
        NodeProto copy;
        copy.set_op_type("Identity");
        copy.set_name(prefix + f.output(i));
        copy.add_input(names[f.output(i)]);
        copy.add_output(node.output(i));
        VTL_TRY(expand(std::move(copy), depth));
      }
    }
    auto rename = [&](std::string* name) { *name = names.try_emplace(*name, prefix + *name).first->second; };
    for (const NodeProto& inner : f.node()) {
      NodeProto copy = inner;
      copy.set_name(prefix + inner.name());
      for (auto& name : *copy.mutable_input()) rename(&name);
      for (auto& name : *copy.mutable_output()) rename(&name);
      resolve_attributes(node, function, copy);
      copied_ += copy.ByteSizeLong();
      VTL_TRY(expand(std::move(copy), depth + 1));
    }
    return {};
  }

  // Puts the caller's attributes, or their defaults, where the body refers to them; one that has neither is
  // left out.
  static void resolve_attributes(const NodeProto& caller, const Function& function, NodeProto& inner) {
    auto resolved = std::exchange(*inner.mutable_attribute(), {});
    for (auto& attribute : resolved) {
      const std::string wanted = attribute.ref_attr_name();
      const AttributeProto* source = wanted.empty() ? &attribute : nullptr;
      for (const auto& a : function.defaults)
        if (!wanted.empty() && a.name() == wanted) source = &a;
      for (const auto& a : caller.attribute())
        if (!wanted.empty() && a.name() == wanted) source = &a;
      if (!source) continue;
      const std::string name = attribute.name();
      AttributeProto& added = *inner.add_attribute() = *source;
      added.set_name(name);
    }
  }

  std::map<std::pair<std::string, std::string>, Function> functions_;
  google::protobuf::RepeatedPtrField<NodeProto> out_;
  size_t copied_ = 0;
  int steps_ = 0;
  int serial_ = 0;
};

}  // namespace

Status inline_functions(onnx::ModelProto& model, int64_t opset) {
  if (model.functions().empty()) return {};
  Inliner inliner;
  VTL_TRY(inliner.collect(model, opset));
  for (auto& node : *model.mutable_graph()->mutable_node()) VTL_TRY(inliner.expand(std::move(node), 0));
  *model.mutable_graph()->mutable_node() = inliner.take();
  return {};
}

}  // namespace vitrail::onnx_import
