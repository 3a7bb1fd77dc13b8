// SPDX-License-Identifier: Apache-2.0
// Changes of a graph's structure that the passes share. None of them keeps a UseMap up to date: make it anew.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace vitrail {

// Every node that reads `from` reads `to` instead; `to` must be made before them. Where `from` is a graph
// output, `to` takes its place and its name (outputs keep the names of the model; the two values swap names).
// That is impossible when `to` is itself a graph input or another graph output: then the output stays with
// `from`, which must go on being made. Returns whether nothing needs `from` any more.
bool replace_uses(Graph& graph, ValueId from, ValueId to);

// `base` when no value has this name, else `base` with a number after it.
std::string unique_name(const Graph& graph, const std::string& base);

// A new value for a node to make; its name is unique_name(base).
ValueId add_intermediate(Graph& graph, const std::string& base, DType dtype, std::optional<SymShape> shape);

// A new weight or constant operand; its name is unique_name(base).
ValueId add_weight(Graph& graph, const std::string& base, Tensor tensor);

// Puts each node before the node that now has the index; nodes with the same index keep their order. An index
// of nodes.size() appends.
void insert_nodes(Graph& graph, std::vector<std::pair<size_t, Node>> nodes);

// Takes out the nodes i with dead[i]; values stay.
void remove_nodes(Graph& graph, const std::vector<bool>& dead);

// Takes out every node whose outputs nothing reads, and theirs in turn. Returns how many went.
size_t remove_dead_nodes(Graph& graph);

// Drops the values (and the memory of constants) that no node, graph input or graph output mentions. Ids
// change.
void compact(Graph& graph);

}  // namespace vitrail
