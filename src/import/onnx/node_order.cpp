// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/node_order.h"

#include <functional>
#include <queue>
#include <string_view>
#include <unordered_map>

#include "core/error.h"

namespace vitrail::onnx_import {

std::string layer_name(const onnx::NodeProto& node) {
  if (!node.name().empty()) return node.name();
  return node.output_size() ? node.op_type() + "_" + node.output(0) : node.op_type();
}

void visit_inputs(const onnx::NodeProto& node, const std::function<void(const std::string&)>& visit) {
  for (const auto& input : node.input())
    if (!input.empty()) visit(input);
  for (const auto& attribute : node.attribute())
    if (attribute.has_g()) {
      for (const auto& inner : attribute.g().node()) visit_inputs(inner, visit);
      for (const auto& output : attribute.g().output()) visit(output.name());
    }
}

Result<std::vector<const onnx::NodeProto*>> sorted_nodes(const onnx::GraphProto& graph) {
  const auto count = static_cast<size_t>(graph.node_size());
  auto node = [&](size_t i) -> const onnx::NodeProto& { return graph.node(static_cast<int>(i)); };

  std::unordered_map<std::string_view, size_t> makers;
  for (size_t i = 0; i < count; ++i)
    for (const auto& output : node(i).output())
      if (const auto [it, added] = makers.try_emplace(output, i); !output.empty() && !added)
        return bad_input("layers '{}' and '{}' both make the value '{}'", layer_name(node(it->second)),
                         layer_name(node(i)), output);

  // Kahn's algorithm; the queue hands out the earliest ready node, so that a sorted file keeps its order.
  std::vector<std::vector<size_t>> readers(count);
  std::vector<size_t> missing(count);
  for (size_t i = 0; i < count; ++i)
    visit_inputs(node(i), [&](const std::string& input) {
      const auto it = makers.find(input);
      if (it == makers.end()) return;
      readers[it->second].push_back(i);
      ++missing[i];
    });
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < count; ++i)
    if (missing[i] == 0) ready.push(i);
  std::vector<const onnx::NodeProto*> order;
  while (!ready.empty()) {
    const size_t i = ready.top();
    ready.pop();
    order.push_back(&node(i));
    for (size_t reader : readers[i])
      if (--missing[reader] == 0) ready.push(reader);
  }
  if (order.size() == count) return order;
  for (size_t i = 0; i < count; ++i)
    if (missing[i])
      return bad_input(
          "{} layers can never run because some of them wait for each other in a cycle; the first is '{}'",
          count - order.size(), layer_name(node(i)));
  return internal_error("sorting lost a layer");
}

}  // namespace vitrail::onnx_import
