// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "backends/cuda/compile.h"
#include "backends/cuda/kernel_list.h"
#include "core/error.h"
#include "graph/edit.h"

namespace vitrail::cuda {
namespace {

constexpr float kE4M3Max = 448.0f;
constexpr float kShift = 128.0f;  // from uint8 to the int8 that the kernel multiplies

// One element of a constant of 8 bits or a float.
float number(const Graph& graph, ValueId id) {
  if (id == kNoValue) return 0;
  const Tensor& t = graph.constant(id);
  if (t.dtype() == DType::kI8) return static_cast<float>(t.as<int8_t>()[0]);
  if (t.dtype() == DType::kU8) return static_cast<float>(t.as<uint8_t>()[0]);
  return to_float32(t).as<float>()[0];
}

// --- fp8
// ----------------------------------------------------------------------------------------------------

// The calibrated range of a value, which types may have given another name (assign_types.cpp).
std::optional<float> range_of(const std::map<std::string, float>& absmax, std::string name) {
  for (;;) {
    if (const auto at = absmax.find(name); at != absmax.end()) return at->second;
    const size_t dot = name.rfind('.');
    if (dot == std::string::npos) return std::nullopt;
    const std::string_view suffix = std::string_view(name).substr(dot);
    if (suffix != ".inner" && suffix != ".float16" && suffix != ".float32") return std::nullopt;
    name.resize(dot);
  }
}

bool runs_in_fp8(const Graph& graph, const Node& node) {
  const std::string kernel = kernel_of(node);
  if (node.op != Op::Linear || node.stage == "head" || graph.value(node.outputs[0]).dtype == DType::kF32)
    return false;
  const Tensor& w = graph.constant(node.input(1));
  return w.dim(0) % 16 == 0 && (kernel == "gemm_wgmma" || (kernel == "cublaslt" && w.dim(1) % 16 == 0));
}

Status quantize_fp8(Graph& graph, const std::map<std::string, float>& absmax) {
  std::map<ValueId, ValueId> made;
  std::vector<std::pair<size_t, Node>> added;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!runs_in_fp8(graph, graph.nodes[i])) continue;
    const ValueId x = graph.nodes[i].input(0);
    const Value copy = graph.value(x);
    const auto range = range_of(absmax, copy.name);
    if (!range)
      return usage_error(
          "layer '{}': fp8 needs the range of its input '{}', which no calibration has seen; build with "
          "--calibrate "
          "and a folder of images, or with --precision fp16",
          graph.nodes[i].name, copy.name);
    const float scale = *range > 0 ? kE4M3Max / *range : 1.0f;
    const auto [known, is_new] = made.try_emplace(x, kNoValue);
    if (is_new) {
      known->second = add_intermediate(graph, copy.name + ".e4m3", DType::kU8, copy.shape);
      Node q;
      q.op = Op::Cast;
      q.name = graph.nodes[i].name + ".quantize";
      q.stage = graph.nodes[i].stage;
      q.inputs = {x};
      q.outputs = {known->second};
      q.attributes["to"] = int64_t{2};
      q.attributes["kernel"] = std::string("convert");
      q.attributes["out_type"] = std::string(type_name(Type::kE4M3));
      q.attributes["q_scale"] = scale;
      added.push_back({i, std::move(q)});
    }
    Node& node = graph.nodes[i];
    node.inputs[0] = known->second;
    node.attributes["type"] = std::string(type_name(Type::kE4M3));
    node.attributes["x_scale"] = 1.0f / scale;
  }
  insert_nodes(graph, std::move(added));
  return {};
}

// --- Q/DQ models
// --------------------------------------------------------------------------------------------

void quantize_int8(Graph& graph) {
  const UseMap uses(graph);
  const auto shifted = [&](ValueId id) {
    return std::any_of(uses.consumers(id).begin(), uses.consumers(id).end(), [&](int reader) {
      const Node& n = graph.nodes[static_cast<size_t>(reader)];
      return n.op == Op::QuantizedLinear && !is_host(n);
    });
  };
  std::vector<bool> moved(graph.values.size());
  for (Node& node : graph.nodes) {
    const std::string kernel = kernel_of(node);
    if (kernel == "quantize") {
      const ValueId y = node.outputs[0];
      float zero = number(graph, node.input(2));
      if (graph.value(y).dtype == DType::kU8 && shifted(y)) {
        moved[static_cast<size_t>(y)] = true;
        graph.value(y).dtype = DType::kI8;
        zero -= kShift;
      }
      node.attributes["out_type"] = std::string(dtype_name(graph.value(y).dtype));
      node.attributes["q_scale"] = 1.0f / number(graph, node.input(1));
      node.attributes["q_zero"] = zero;
    } else if (kernel == "dequantize") {
      const ValueId x = node.input(0);
      node.attributes["from"] = std::string(dtype_name(graph.value(x).dtype));
      node.attributes["q_scale"] = number(graph, node.input(1));
      node.attributes["q_zero"] = number(graph, node.input(2)) - (moved[static_cast<size_t>(x)] ? kShift : 0);
    } else if (node.op == Op::QuantizedLinear && !is_host(node)) {
      node.attributes["type"] = std::string(type_name(Type::kS8));
      if (moved[static_cast<size_t>(node.input(0))])
        node.attributes["x_zero_point"] = node.integer("x_zero_point", 0) - static_cast<int64_t>(kShift);
    }
  }
}

// --- into the layer in front
// ----------------------------------------------------------------------------------

// A node that turns a 16-bit value into 8 bits and nothing else.
bool is_quantizer(const Node& node) {
  return node.has("out_type") && (kernel_of(node) == "quantize" || kernel_of(node) == "convert");
}

void take_over(Node& maker, const Node& quantizer) {
  for (const char* name : {"q_scale", "q_zero"})
    if (const auto at = quantizer.attributes.find(name); at != quantizer.attributes.end())
      maker.attributes[name] = at->second;
}

void fuse_quantizers(Graph& graph) {
  const UseMap uses(graph);
  std::vector<bool> dead(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& quantizer = graph.nodes[i];
    if (!is_quantizer(quantizer)) continue;
    const ValueId x = quantizer.input(0), q = quantizer.outputs[0];
    const int at = uses.producer(x);
    if (at < 0 || uses.is_output(q)) continue;
    Node& maker = graph.nodes[static_cast<size_t>(at)];
    const std::string kernel = kernel_of(maker), type = quantizer.text("out_type", "");
    const bool alone = uses.has_one_use(x);
    if (kernel == "gemm_wgmma" && maker.text("type", "") == type &&
        graph.value(x).shape->back().fixed % 16 == 0 &&
        !(maker.outputs.size() > 2 && maker.outputs[2] != kNoValue)) {
      maker.outputs.resize(3, kNoValue);
      maker.outputs[2] = q;
      take_over(maker, quantizer);
      // Statistics are of the 16-bit rows: those must be made then.
      if (alone && maker.outputs[1] == kNoValue) maker.attributes["only_q"] = int64_t{1};
      dead[i] = true;
    } else if (alone && (kernel == "layer_norm" || (kernel == "attention" && type != "uint8"))) {
      maker.outputs[0] = q;
      maker.attributes["out_type"] = type;
      take_over(maker, quantizer);
      dead[i] = true;
    }
  }
  remove_nodes(graph, dead);
}

}  // namespace

Status quantize(Graph& graph, const Target& target, const CompileOptions& options) {
  if (target.precision.quantized == Type::kE4M3) VTL_TRY(quantize_fp8(graph, options.absmax));
  quantize_int8(graph);
  fuse_quantizers(graph);
  return {};
}

}  // namespace vitrail::cuda
