// SPDX-License-Identifier: Apache-2.0
#include "graph/graph.h"

#include <array>
#include <climits>
#include <set>

#include "core/error.h"

namespace vitrail {
namespace {

constexpr int kMany = INT_MAX;
constexpr std::array kOps = {
#define VTL_OP(name, min_inputs, max_inputs, max_outputs, traits) \
  OpInfo{Op::name, #name, min_inputs, max_inputs, max_outputs, traits},
#include "graph/ops.def"
#undef VTL_OP
};

std::string attribute_text(const Attribute& attribute) {
  return std::visit(
      [](const auto& a) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(a)>, Tensor>)
          return fmt::format("{}{}", dtype_name(a.dtype()), to_string(a.shape()));
        else
          return fmt::format("{}", a);
      },
      attribute);
}

}  // namespace

std::span<const OpInfo> all_ops() { return kOps; }
const OpInfo& op_info(Op op) { return kOps[static_cast<size_t>(op)]; }
std::string_view op_name(Op op) { return op_info(op).name; }

std::optional<Op> op_from_name(std::string_view name) {
  static const auto* by_name = [] {
    auto* m = new std::map<std::string_view, Op>;
    for (const auto& info : kOps) m->emplace(info.name, info.op);
    return m;
  }();
  auto it = by_name->find(name);
  return it == by_name->end() ? std::nullopt : std::optional(it->second);
}

int64_t Node::integer(std::string_view attribute, int64_t fallback) const {
  auto it = attributes.find(attribute);
  const auto* v = it == attributes.end() ? nullptr : std::get_if<int64_t>(&it->second);
  return v ? *v : fallback;
}

float Node::real(std::string_view attribute, float fallback) const {
  auto it = attributes.find(attribute);
  const auto* v = it == attributes.end() ? nullptr : std::get_if<float>(&it->second);
  return v ? *v : fallback;
}

std::string Node::text(std::string_view attribute, std::string_view fallback) const {
  auto it = attributes.find(attribute);
  const auto* v = it == attributes.end() ? nullptr : std::get_if<std::string>(&it->second);
  return v ? *v : std::string(fallback);
}

std::vector<int64_t> Node::integers(std::string_view attribute) const {
  auto it = attributes.find(attribute);
  const auto* v = it == attributes.end() ? nullptr : std::get_if<std::vector<int64_t>>(&it->second);
  return v ? *v : std::vector<int64_t>{};
}

ValueId Graph::add_value(Value value) {
  values.push_back(std::move(value));
  return static_cast<ValueId>(values.size() - 1);
}

ValueId Graph::add_constant(std::string value_name, Tensor tensor) {
  Value v;
  v.name = std::move(value_name);
  v.dtype = tensor.dtype();
  v.shape = sym_shape(tensor.shape());
  if (tensor.dtype() == DType::kI64 && tensor.rank() <= 1) {
    v.integers.emplace();
    for (int64_t i : tensor.as<int64_t>()) v.integers->push_back(Dim::of(i));
  }
  v.constant = std::move(tensor);
  return add_value(std::move(v));
}

ValueId Graph::find(std::string_view value_name) const {
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i].name == value_name) return static_cast<ValueId>(i);
  return kNoValue;
}

UseMap::UseMap(const Graph& graph)
    : producers_(graph.values.size(), -1), consumers_(graph.values.size()), outputs_(graph.values.size()) {
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (ValueId v : graph.nodes[n].outputs)
      if (v != kNoValue) producers_[static_cast<size_t>(v)] = static_cast<int>(n);
    for (ValueId v : graph.nodes[n].inputs)
      if (v != kNoValue) consumers_[static_cast<size_t>(v)].push_back(static_cast<int>(n));
  }
  for (ValueId v : graph.outputs) outputs_[static_cast<size_t>(v)] = true;
}

Status verify_graph(const Graph& graph) {
  const auto count = static_cast<ValueId>(graph.values.size());
  auto valid = [&](ValueId id) { return id >= 0 && id < count; };
  std::vector<bool> defined(graph.values.size());
  std::set<std::string_view> names;
  for (size_t i = 0; i < graph.values.size(); ++i) {
    const Value& v = graph.values[i];
    defined[i] = v.constant.has_value();
    if (!names.insert(v.name).second) return bad_input("two values are named '{}'", v.name);
  }
  for (ValueId id : graph.inputs) {
    if (!valid(id)) return bad_input("graph input {} is not one of the {} values", id, count);
    defined[static_cast<size_t>(id)] = true;
  }
  for (const Node& node : graph.nodes) {
    const OpInfo& info = op_info(node.op);
    const auto inputs = static_cast<int>(node.inputs.size());
    const auto outputs = static_cast<int>(node.outputs.size());
    if (inputs < info.min_inputs || inputs > info.max_inputs || outputs < 1 || outputs > info.max_outputs)
      return bad_input("layer '{}': {} has {} inputs and {} outputs, which it cannot have", node.name,
                       info.name, inputs, outputs);
    for (int i = 0; i < inputs; ++i) {
      const ValueId id = node.inputs[static_cast<size_t>(i)];
      if (id == kNoValue) {
        if (i < info.min_inputs)
          return bad_input("layer '{}': {} lacks its input {}", node.name, info.name, i);
        continue;
      }
      if (!valid(id)) return bad_input("layer '{}': input {} is not a value of this graph", node.name, i);
      if (!defined[static_cast<size_t>(id)])
        return bad_input("layer '{}': input '{}' is read before anything makes it", node.name,
                         graph.value(id).name);
    }
    for (ValueId id : node.outputs) {
      if (id == kNoValue) continue;
      if (!valid(id)) return bad_input("layer '{}': an output is not a value of this graph", node.name);
      if (defined[static_cast<size_t>(id)])
        return bad_input("layer '{}': output '{}' was made before", node.name, graph.value(id).name);
      defined[static_cast<size_t>(id)] = true;
    }
  }
  for (ValueId id : graph.outputs)
    if (!valid(id) || !defined[static_cast<size_t>(id)])
      return bad_input("graph output {} is made by no layer",
                       valid(id) ? graph.value(id).name : std::to_string(id));
  return {};
}

std::string print_graph(const Graph& graph) {
  std::string out;
  for (const Node& node : graph.nodes) {
    auto list = [&](const std::vector<ValueId>& ids, bool with_shape) {
      std::string s;
      for (ValueId id : ids) {
        if (!s.empty()) s += ", ";
        if (id == kNoValue) {
          s += "-";
          continue;
        }
        const Value& v = graph.value(id);
        s += "%" + v.name;
        if (with_shape) s += v.shape ? to_string(*v.shape) : "[?]";
      }
      return s;
    };
    std::string attributes;
    for (const auto& [key, value] : node.attributes)
      attributes += fmt::format("{}{}={}", attributes.empty() ? "" : ", ", key, attribute_text(value));
    out += fmt::format("{} = {}({}) {{{}}}  # {}\n", list(node.outputs, true), op_name(node.op),
                       list(node.inputs, false), attributes, node.name);
  }
  return out;
}

}  // namespace vitrail
