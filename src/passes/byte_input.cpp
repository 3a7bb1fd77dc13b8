// SPDX-License-Identifier: Apache-2.0
#include "passes/byte_input.h"

#include <algorithm>

#include "core/error.h"
#include "graph/edit.h"

namespace vitrail {
namespace {

constexpr int64_t kOnnxFloat = 1;
const std::vector<int64_t> kToChannelsFirst{0, 3, 1, 2};

Tensor vector_of(const std::array<float, 3>& values) {
  return Tensor::f32({3}, {values[0], values[1], values[2]});
}

bool read_vector(const Graph& graph, ValueId id, std::array<float, 3>& out) {
  if (!graph.is_constant(id)) return false;
  const Tensor& tensor = graph.constant(id);
  if (tensor.dtype() != DType::kF32 || tensor.shape() != Shape{3}) return false;
  std::copy_n(tensor.as<float>().begin(), 3, out.begin());
  return true;
}

}  // namespace

ByteScaling byte_scaling(const std::array<float, 3>& mean, const std::array<float, 3>& std) {
  ByteScaling s;
  for (size_t c = 0; c < 3; ++c) {
    s.scale[c] = static_cast<float>(1.0 / (255.0 * static_cast<double>(std[c])));
    s.shift[c] = static_cast<float>(-static_cast<double>(mean[c]) / static_cast<double>(std[c]));
  }
  return s;
}

Status use_byte_input(Graph& graph, const ByteScaling& scaling) {
  const ValueId pixels = graph.inputs.size() == 1 ? graph.inputs[0] : kNoValue;
  if (pixels == kNoValue || graph.value(pixels).dtype != DType::kF32 || !graph.value(pixels).shape ||
      graph.value(pixels).shape->size() != 4 || (*graph.value(pixels).shape)[1] != Dim::of(3))
    return usage_error("uint8 input needs a model with one float32 input [N,3,H,W]; this model has {}{}",
                       graph.inputs.size() == 1 ? graph.value(pixels).name + " " : "",
                       graph.inputs.size() == 1 && graph.value(pixels).shape
                           ? to_string(*graph.value(pixels).shape)
                           : fmt::format("{} inputs", graph.inputs.size()));
  if (std::find(graph.outputs.begin(), graph.outputs.end(), pixels) != graph.outputs.end())
    return usage_error("uint8 input: '{}' is an output of the model as well", graph.value(pixels).name);

  const std::string name = graph.value(pixels).name;
  const SymShape planes = *graph.value(pixels).shape;
  const SymShape rows{planes[0], planes[2], planes[3], planes[1]};
  graph.value(pixels).name = unique_name(graph, name + "/transpose");
  Value bytes;
  bytes.name = name;
  bytes.dtype = DType::kU8;
  bytes.shape = rows;
  graph.inputs[0] = graph.add_value(std::move(bytes));

  std::vector<std::pair<size_t, Node>> chain;
  const auto add = [&](Op op, const char* suffix, std::vector<ValueId> inputs, ValueId output) {
    Node node;
    node.op = op;
    node.name = name + suffix;
    node.inputs = std::move(inputs);
    node.outputs = {output == kNoValue ? add_intermediate(graph, name + suffix, DType::kF32, rows) : output};
    if (!graph.nodes.empty()) node.stage = graph.nodes[0].stage;
    chain.push_back({0, std::move(node)});
    return chain.back().second.outputs[0];
  };
  const ValueId floats = add(Op::Cast, "/cast", {graph.inputs[0]}, kNoValue);
  chain.back().second.attributes["to"] = kOnnxFloat;
  const ValueId scale = add_weight(graph, name + "/scale", vector_of(scaling.scale));
  const ValueId scaled = add(Op::Mul, "/mul", {floats, scale}, kNoValue);
  const ValueId shift = add_weight(graph, name + "/shift", vector_of(scaling.shift));
  const ValueId shifted = add(Op::Add, "/add", {scaled, shift}, kNoValue);
  add(Op::Transpose, "/transpose", {shifted}, pixels);
  chain.back().second.attributes["perm"] = kToChannelsFirst;
  insert_nodes(graph, std::move(chain));
  return verify_graph(graph);
}

std::optional<ByteInput> match_byte_input(const Graph& graph) {
  constexpr Op kChain[] = {Op::Cast, Op::Mul, Op::Add, Op::Transpose};
  if (graph.inputs.size() != 1 || graph.nodes.size() < std::size(kChain)) return std::nullopt;
  const UseMap uses(graph);
  ByteInput found;
  found.bytes = graph.inputs[0];
  ValueId value = found.bytes;
  if (graph.value(value).dtype != DType::kU8) return std::nullopt;
  for (size_t i = 0; i < std::size(kChain); ++i) {
    const Node& node = graph.nodes[i];
    if (node.op != kChain[i] || node.input(0) != value || !uses.has_one_use(value)) return std::nullopt;
    value = node.outputs[0];
  }
  if (graph.nodes[0].integer("to", 0) != kOnnxFloat || graph.nodes[3].integers("perm") != kToChannelsFirst ||
      !read_vector(graph, graph.nodes[1].input(1), found.scaling.scale) ||
      !read_vector(graph, graph.nodes[2].input(1), found.scaling.shift))
    return std::nullopt;
  found.pixels = value;
  return found;
}

}  // namespace vitrail
