// SPDX-License-Identifier: Apache-2.0
// Brings operators of older opsets into the form of the newest, so that later code sees one form of each.
#pragma once

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "graph/graph.h"

namespace vitrail::onnx_import {

// Hands out names that were not used before.
class UniqueNames {
 public:
  void reserve(const std::string& name) { used_.insert(name); }
  std::string make(const std::string& wanted);

 private:
  std::unordered_set<std::string> used_;
};

struct NormaliseContext {
  Graph& graph;        // receives the constants that take the place of attributes
  UniqueNames& names;  // of values
  int64_t opset;
  std::function<void()> infer;  // brings types and shapes up to date, as far as they can be known
};

// Appends the node in its newest form to `out`; nearly always one node. The message of a failure does not
// name it.
Status normalise(const NormaliseContext& context, Node node, std::vector<Node>& out);

}  // namespace vitrail::onnx_import
