// SPDX-License-Identifier: Apache-2.0
// The intermediate representation: operators are data; values carry type, shape (affine in the batch) and,
// where known, their content.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "graph/dim.h"
#include "vitrail/status.h"
#include "vitrail/tensor.h"

namespace vitrail {

enum class Op : uint8_t {
#define VTL_OP(name, min_inputs, max_inputs, max_outputs, traits) name,
#include "graph/ops.def"
#undef VTL_OP
};

// What passes, costs and backends need to know of an operator whose name does not matter to them.
enum OpTraits : unsigned {
  kPlain = 0,
  kElementwise = 1,  // an element of the output needs one element of each operand, broadcast or absent
  kMovement = 2,     // elements are passed on, or counted, and nothing is computed with them
};

struct OpInfo {
  Op op;
  std::string_view name;
  int min_inputs;
  int max_inputs;  // INT_MAX for any number
  int max_outputs;
  unsigned traits;  // of OpTraits
};

std::span<const OpInfo> all_ops();
const OpInfo& op_info(Op op);
std::string_view op_name(Op op);
inline bool has_trait(Op op, OpTraits trait) { return (op_info(op).traits & trait) != 0; }
std::optional<Op> op_from_name(std::string_view name);

using ValueId = int32_t;
inline constexpr ValueId kNoValue = -1;  // an optional input that is left out

struct Value {
  std::string name;
  DType dtype = DType::kUndefined;
  std::optional<SymShape> shape;   // unset until shape inference has run
  std::optional<Tensor> constant;  // set for weights and folded values
  std::optional<std::vector<Dim>>
      integers;  // content of an int64 scalar or vector, where it is affine in the batch
};

using Attribute = std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>,
                               std::vector<std::string>, Tensor>;

struct Node {
  Op op;
  std::string name;             // as in the model file; fused nodes take the name of the node that ends them
  std::vector<ValueId> inputs;  // kNoValue for an optional input that is absent
  std::vector<ValueId> outputs;
  std::map<std::string, Attribute, std::less<>> attributes;  // with the names and defaults of ONNX
  std::string stage;  // "patch_embed", "block.3", "head", … once recognised

  ValueId input(size_t i) const { return i < inputs.size() ? inputs[i] : kNoValue; }
  bool has(std::string_view attribute) const { return attributes.find(attribute) != attributes.end(); }
  int64_t integer(std::string_view attribute, int64_t fallback) const;
  float real(std::string_view attribute, float fallback) const;
  std::string text(std::string_view attribute, std::string_view fallback) const;
  std::vector<int64_t> integers(std::string_view attribute) const;  // empty when absent
};

// Nodes are kept in topological order: each after the producers of its inputs.
class Graph {
 public:
  std::string name;
  int64_t opset = 0;                            // of the default ONNX domain
  std::map<std::string, std::string> metadata;  // of the model file
  std::vector<Value> values;
  std::vector<Node> nodes;
  std::vector<ValueId> inputs;  // without initializers
  std::vector<ValueId> outputs;

  ValueId add_value(Value value);
  ValueId add_constant(std::string name,
                       Tensor tensor);  // sets dtype, shape and, for int64 vectors, integers
  Value& value(ValueId id) { return values[static_cast<size_t>(id)]; }
  const Value& value(ValueId id) const { return values[static_cast<size_t>(id)]; }
  bool is_constant(ValueId id) const { return id != kNoValue && value(id).constant.has_value(); }
  const Tensor& constant(ValueId id) const { return *value(id).constant; }
  ValueId find(std::string_view value_name) const;  // kNoValue when there is none
};

// Who makes and who reads each value. A snapshot: made anew after a change of the graph.
class UseMap {
 public:
  explicit UseMap(const Graph& graph);
  // Index of the node that makes the value, -1 for inputs, constants and values added since.
  int producer(ValueId id) const {
    return static_cast<size_t>(id) < producers_.size() ? producers_[static_cast<size_t>(id)] : -1;
  }
  std::span<const int> consumers(ValueId id) const { return consumers_[static_cast<size_t>(id)]; }
  bool is_output(ValueId id) const { return outputs_[static_cast<size_t>(id)]; }
  // Read by one node only and not a graph output: may disappear in a fusion.
  bool has_one_use(ValueId id) const { return consumers(id).size() == 1 && !is_output(id); }

 private:
  std::vector<int> producers_;
  std::vector<std::vector<int>> consumers_;
  std::vector<bool> outputs_;
};

// Checks arities, ids, topological order, single assignment and unique value names. Message names the node.
Status verify_graph(const Graph& graph);

// One line a node: `%out[shape] = Op(%a, %b) {attr=…}  # name`.
std::string print_graph(const Graph& graph);

// Fills in the dtype, shape and integer content of every value, in topological order, from the graph inputs'
// and constants'. Shape chains (Shape → Gather → Concat …) come out as `integers`. Fails on a node whose
// operands do not fit together, naming it and the shapes; a shape that cannot be known (data-dependent) is
// left unset.
Status infer_shapes(Graph& graph);

}  // namespace vitrail
