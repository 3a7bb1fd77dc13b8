// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/inspect.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>

#include "backends/tensorrt/module/plugin_kinds.h"
#include "graph/cost.h"

namespace vitrail::tensorrt {
namespace {

using nlohmann::json;

// "Half", "Row major linear FP16 format" and the like.
std::string type_in(std::string_view text) {
  constexpr std::pair<std::string_view, DType> kWords[] = {
      {"BFloat16", DType::kBF16}, {"BF16", DType::kBF16}, {"FP16", DType::kF16},  {"Half", DType::kF16},
      {"FP8", DType::kF8E4M3},    {"Int8", DType::kI8},   {"INT8", DType::kI8},   {"FP32", DType::kF32},
      {"Float", DType::kF32},     {"Int32", DType::kI32}, {"Int64", DType::kI64}, {"INT32", DType::kI32},
      {"UInt8", DType::kU8},      {"Bool", DType::kBool}};
  for (const auto& [word, dtype] : kWords)
    if (text.find(word) != std::string_view::npos)
      return dtype == DType::kF8E4M3 ? "float8_e4m3" : std::string(dtype_name(dtype));
  return "";
}

// "__myl_FcAddAdd_0xe662….._vec" is "FcAddAdd": hashes differ from build to build.
std::string readable(const std::string& kernel) {
  static const std::regex hash("^__myl_|_0x[0-9a-f]{8,}(_vec)?|_myl[0-9]+_[0-9]+$");
  return std::regex_replace(kernel, hash, "");
}

std::string kernel_of(const std::string& type, const std::string& tactic, const std::string& name) {
  if (!tactic.empty() && tactic.find("STUB") == std::string::npos &&
      tactic.find_first_not_of("0123456789x") != std::string::npos)
    return readable(tactic);
  // The compiler names what it has fused after the operations; other layers are named after the network's.
  return name.starts_with("__myl_") ? readable(name) : type;
}

std::string text_of(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

std::string first_type(const json& layer, const char* key) {
  const auto it = layer.find(key);
  if (it == layer.end() || !it->is_array() || it->empty() || !it->front().is_object()) return "";
  const std::string type = text_of(it->front(), "Datatype");
  return type_in(type.empty() ? text_of(it->front(), "Format/Datatype") : type);
}

bool multiplies(const EngineLayer& layer) {
  static const std::regex product(
      "mha|gemm|Fc|[Cc]onv|correlation|[Aa]ttention|MatMul|matmul|fmha|xmma|cutlass");
  return std::regex_search(layer.kernel, product);
}

// Of several layers that a node became, the one that computes it says more: 0 for what only moves or holds elements, 1 for
// what computes, 2 for what multiplies.
int weight_of(const EngineLayer& layer) {
  constexpr std::string_view kMoves[] = {"NoOp", "Reformat", "Constant", "Shuffle", "Slice"};
  return multiplies(layer) ? 2 : std::ranges::find(kMoves, layer.kernel) == std::end(kMoves) ? 1 : 0;
}

bool is_product(Op op) {
  return op == Op::Linear || op == Op::QuantizedLinear || op == Op::MatMul || op == Op::Gemm ||
         op == Op::Conv || op == Op::PatchEmbed || op == Op::MultiHeadAttention;
}

// Nodes (by index) that went into a layer: as it remembers, or by the names in its own, where
// "{ForeignNode[a...b]}" is everything from a to b.
std::vector<size_t> origins(const EngineLayer& layer, const Graph& graph,
                            const std::map<std::string, size_t>& by_name) {
  std::vector<size_t> found;
  const std::string& text = layer.origin.empty() ? layer.name : layer.origin;
  static const std::regex mark("⟦([^⟧]*)⟧");
  for (std::sregex_iterator it(text.begin(), text.end(), mark), end; it != end; ++it)
    if (const auto node = by_name.find((*it)[1]); node != by_name.end()) found.push_back(node->second);
  if (!found.empty()) return found;
  static const std::regex foreign("\\{ForeignNode\\[(.*)\\.\\.\\.(.*)\\]\\}");
  const auto without_part = [](const std::string& name) { return name.substr(0, name.rfind('|')); };
  if (std::smatch ends; std::regex_search(layer.name, ends, foreign)) {
    const auto first = by_name.find(without_part(ends[1])), last = by_name.find(without_part(ends[2]));
    if (last != by_name.end())
      for (size_t i = first == by_name.end() ? 0 : std::min(first->second, last->second); i <= last->second;
           ++i)
        found.push_back(i);
    return found;
  }
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const std::string& name = graph.nodes[i].name;
    const size_t at = name.empty() ? std::string::npos : layer.name.find(name);
    if (at == std::string::npos) continue;
    const size_t end = at + name.size();
    const bool whole = (at == 0 || layer.name[at - 1] == ' ' || layer.name[at - 1] == '(') &&
                       (end == layer.name.size() ||
                        std::string_view(" |)+_").find(layer.name[end]) != std::string_view::npos);
    if (whole) found.push_back(i);
  }
  return found;
}

}  // namespace

std::string origin_mark(const std::string& name) { return "⟦" + name + "⟧"; }

std::vector<EngineLayer> parse_layers(const std::string& text) {
  std::vector<EngineLayer> layers;
  const json root = json::parse(text, nullptr, false);
  if (!root.is_object() || !root.contains("Layers") || !root["Layers"].is_array()) return layers;
  for (const json& layer : root["Layers"]) {
    if (layer.is_string()) layers.push_back({layer.get<std::string>(), "", "", "", ""});
    if (!layer.is_object()) continue;
    EngineLayer l;
    l.name = text_of(layer, "Name");
    const std::string plugin = text_of(layer, "PluginType");
    l.kernel =
        plugin.empty() ? kernel_of(text_of(layer, "LayerType"), text_of(layer, "TacticName"), l.name) : plugin;
    l.reads = first_type(layer, "Inputs");
    l.writes = first_type(layer, "Outputs");
    l.origin = text_of(layer, "Metadata");
    layers.push_back(std::move(l));
  }
  return layers;
}

std::vector<EngineLayer> parse_log(const std::string& text) {
  std::vector<EngineLayer> layers;
  const auto between = [](const std::string& line, std::string_view from, std::string_view to) {
    const size_t at = line.find(from);
    if (at == std::string::npos) return std::string();
    const size_t begin = at + from.size(), end = to.empty() ? line.size() : line.find(to, begin);
    return line.substr(begin, end == std::string::npos ? end : end - begin);
  };
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with("Name: ") || line.find(", LayerType: ") == std::string::npos) continue;
    EngineLayer l;
    l.name = between(line, "Name: ", ", LayerType: ");
    l.kernel = kernel_of(between(line, "LayerType: ", ","), between(line, "TacticName: ", ","), l.name);
    l.reads = type_in(between(between(line, ", Inputs: [", "], Constants"), "Datatype: ", ","));
    l.writes = type_in(between(between(line, ", Outputs: [", "], TacticName"), "Datatype: ", ","));
    l.origin = between(line, "Metadata: ", "");
    layers.push_back(std::move(l));
  }
  return layers;
}

std::string precision_in_name(const std::string& kernel) {
  // The first that is found: operands come before accumulators, and the unit that computes before both.
  static const std::pair<std::regex, std::string_view> kWords[] = {
      {std::regex("ffma|simt|[^a-z]sgemm|scudnn"), "float32"},
      {std::regex("_i8|int8|imma"), "int8"},
      {std::regex("e4m3"), "float8_e4m3"},
      {std::regex("bf16"), "bfloat16"},
      {std::regex("tf32"), "tf32"},
      {std::regex("_f16|fp16|_h(16816|1688|884)gemm|[^a-z]hgemm"), "float16"},
      {std::regex("_f32|fp32"), "float32"}};
  for (const auto& [word, precision] : kWords)
    if (std::regex_search(kernel, word)) return std::string(precision);
  return "";
}

Inspected make_reports(const Graph& graph, const std::vector<EngineLayer>& layers, const Precision& precision,
                       PluginUse plugins) {
  Inspected result;
  std::map<std::string, size_t> by_name;
  for (size_t i = 0; i < graph.nodes.size(); ++i) by_name.emplace(graph.nodes[i].name, i);
  struct Choice {
    const EngineLayer* layer = nullptr;
    int weight = 0;
    size_t others = 0;
  };
  std::vector<Choice> choices(graph.nodes.size());
  for (const EngineLayer& layer : layers) {
    std::vector<size_t> nodes = origins(layer, graph, by_name);
    std::ranges::sort(nodes);
    nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
    const int weight = weight_of(layer);
    for (size_t i : nodes) {
      Choice& c = choices[i];
      const bool better =
          !c.layer || weight > c.weight || (weight == c.weight && nodes.size() < c.others);
      if (better) c = {&layer, weight, nodes.size()};
    }
    // Its time is that of the product in it, else of the last node.
    int64_t report = nodes.empty() ? -1 : static_cast<int64_t>(nodes.back());
    for (size_t i : nodes)
      if (is_product(graph.nodes[i].op)) report = static_cast<int64_t>(i);
    result.layer_names.push_back(layer.name);
    result.layer_reports.push_back(report);
  }
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    LayerReport report;
    report.name = node.name;
    report.op = op_name(node.op);
    report.stage = node.stage;
    report.flops_per_image = flops(graph, node, 1);
    const EngineLayer* layer = choices[i].layer;
    report.kernel = layer ? layer->kernel : layers.empty() ? "not told" : "fused away";
    // 8.x names the interface, not the plugin.
    const bool plugin = report.kernel.starts_with("Plugin");
    const bool our_attention = plugins.attention && node.op == Op::MultiHeadAttention &&
                               (plugin || report.kernel == kAttentionPlugin);
    const bool our_norm = plugins.layer_norm && node.op == Op::LayerNormalization &&
                          (plugin || report.kernel == kLayerNormPlugin || report.kernel == kAddLayerNormPlugin);
    if (our_attention) report.kernel = kAttentionPlugin;
    if (our_norm) report.kernel = kLayerNormPlugin;
    const bool softmax = node.op == Op::Softmax || node.op == Op::LogSoftmax;
    const bool float_inside = our_norm || (softmax && !precision.weak) ||
                              (node.op == Op::LayerNormalization && kHasNormalization);
    const std::string named = is_product(node.op) ? precision_in_name(report.kernel) : "";
    const std::string& tensors = !layer ? named : is_product(node.op) ? layer->reads : layer->writes;
    report.precision = float_inside                               ? dtype_name(DType::kF32)
                       : !named.empty()                           ? named
                       : !tensors.empty()                         ? tensors
                       : our_attention && precision.half_flag     ? dtype_name(DType::kF16)
                                                                  : type_name(precision.compute);
    result.reports.push_back(std::move(report));
  }
  return result;
}

std::string describe(const nv::ICudaEngine& engine) {
  const std::unique_ptr<nv::IEngineInspector> inspector(engine.createEngineInspector());
  const char* text = inspector ? inspector->getEngineInformation(nv::LayerInformationFormat::kJSON) : nullptr;
  return text ? text : "";
}

}  // namespace vitrail::tensorrt
