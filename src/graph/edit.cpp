// SPDX-License-Identifier: Apache-2.0
#include "graph/edit.h"

#include <algorithm>

namespace vitrail {
namespace {

bool contains(const std::vector<ValueId>& ids, ValueId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

bool replace_uses(Graph& graph, ValueId from, ValueId to) {
  if (from == to) return false;
  for (Node& node : graph.nodes) std::replace(node.inputs.begin(), node.inputs.end(), from, to);
  if (!contains(graph.outputs, from)) return true;
  if (contains(graph.outputs, to) || contains(graph.inputs, to)) return false;
  std::replace(graph.outputs.begin(), graph.outputs.end(), from, to);
  std::swap(graph.value(from).name, graph.value(to).name);
  return true;
}

std::string unique_name(const Graph& graph, const std::string& base) {
  std::string name = base;
  for (int i = 1; graph.find(name) != kNoValue; ++i) name = base + "." + std::to_string(i);
  return name;
}

ValueId add_intermediate(Graph& graph, const std::string& base, DType dtype, std::optional<SymShape> shape) {
  Value value;
  value.name = unique_name(graph, base);
  value.dtype = dtype;
  value.shape = std::move(shape);
  return graph.add_value(std::move(value));
}

ValueId add_weight(Graph& graph, const std::string& base, Tensor tensor) {
  return graph.add_constant(unique_name(graph, base), std::move(tensor));
}

void insert_nodes(Graph& graph, std::vector<std::pair<size_t, Node>> nodes) {
  std::stable_sort(nodes.begin(), nodes.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Node> merged;
  merged.reserve(graph.nodes.size() + nodes.size());
  auto next = nodes.begin();
  for (size_t i = 0; i <= graph.nodes.size(); ++i) {
    for (; next != nodes.end() && next->first == i; ++next) merged.push_back(std::move(next->second));
    if (i < graph.nodes.size()) merged.push_back(std::move(graph.nodes[i]));
  }
  graph.nodes = std::move(merged);
}

void remove_nodes(Graph& graph, const std::vector<bool>& dead) {
  size_t kept = 0;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (dead[i]) continue;
    if (kept != i) graph.nodes[kept] = std::move(graph.nodes[i]);
    ++kept;
  }
  graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(kept), graph.nodes.end());
}

size_t remove_dead_nodes(Graph& graph) {
  std::vector<bool> needed(graph.values.size());
  for (ValueId id : graph.outputs) needed[static_cast<size_t>(id)] = true;
  std::vector<bool> dead(graph.nodes.size());
  for (size_t i = graph.nodes.size(); i-- > 0;) {
    const Node& node = graph.nodes[i];
    dead[i] = std::none_of(node.outputs.begin(), node.outputs.end(),
                           [&](ValueId id) { return id != kNoValue && needed[static_cast<size_t>(id)]; });
    if (dead[i]) continue;
    for (ValueId id : node.inputs)
      if (id != kNoValue) needed[static_cast<size_t>(id)] = true;
  }
  remove_nodes(graph, dead);
  return static_cast<size_t>(std::count(dead.begin(), dead.end(), true));
}

void compact(Graph& graph) {
  std::vector<bool> used(graph.values.size());
  auto each_list = [&](auto&& visit) {
    visit(graph.inputs);
    visit(graph.outputs);
    for (Node& node : graph.nodes) {
      visit(node.inputs);
      visit(node.outputs);
    }
  };
  each_list([&](std::vector<ValueId>& ids) {
    for (ValueId id : ids)
      if (id != kNoValue) used[static_cast<size_t>(id)] = true;
  });

  std::vector<ValueId> new_ids(graph.values.size(), kNoValue);
  std::vector<Value> kept;
  for (size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) continue;
    new_ids[i] = static_cast<ValueId>(kept.size());
    kept.push_back(std::move(graph.values[i]));
  }
  graph.values = std::move(kept);
  each_list([&](std::vector<ValueId>& ids) {
    for (ValueId& id : ids)
      if (id != kNoValue) id = new_ids[static_cast<size_t>(id)];
  });
}

}  // namespace vitrail
