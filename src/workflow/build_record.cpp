// SPDX-License-Identifier: Apache-2.0
#include "workflow/build_record.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "engine/json_cursor.h"
#include "graph/edit.h"

namespace vitrail {
namespace {

using nlohmann::json;

// Of ONNX, where one exporter writes out what another leaves away.
constexpr std::pair<std::string_view, int64_t> kDefaults[] = {{"stash_type", 1}, {"keepdims", 1}, {"noop_with_empty_axes", 0},
                                                              {"allowzero", 0},  {"saturate", 1}, {"block_size", 0}};

// Ranges (x_scale, x_zero_point) belong to the weights, the scale of attention does not; rows_of is a mark with a name of
// the model file.
bool is_structure(std::string_view name, const Attribute& value) {
  if (name.ends_with("_scale") || name.ends_with("zero_point") || name == "rows_of") return false;
  const auto* number = std::get_if<int64_t>(&value);
  return !number || std::ranges::find(kDefaults, std::pair{name, *number}) == std::end(kDefaults);
}

struct AttributeText {
  std::string operator()(const Tensor& t) const {
    return fmt::format("{}{}", dtype_name(t.dtype()), to_string(t.shape()));
  }
  std::string operator()(const std::vector<std::string>& v) const { return fmt::format("{}", fmt::join(v, ",")); }
  std::string operator()(float v) const { return fmt::format("{:.6g}", v); }  // exporters differ in the last digit
  template <class T>
  std::string operator()(const std::vector<T>& v) const {
    return fmt::format("[{}]", fmt::join(v, ","));
  }
  template <class T>
  std::string operator()(const T& v) const {
    return fmt::format("{}", v);
  }
};

std::string attributes_text(const Node& node) {
  std::string text;
  for (const auto& [name, value] : node.attributes)
    if (is_structure(name, value)) text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, std::visit(AttributeText{}, value));
  return text;
}

std::string shape_text(const Value& value) { return value.shape ? to_string(*value.shape) : "an unknown shape"; }

// What a weight must be like. Numbers that are no weights (indices, axes, masks) are part of the architecture.
json describe_constant(const Value& value) {
  const Tensor& t = *value.constant;
  json out{{"name", value.name}, {"is", fmt::format("{} {}", dtype_name(t.dtype()), to_string(t.shape()))}};
  if (t.dtype() == DType::kI64 || t.dtype() == DType::kI32 || t.dtype() == DType::kBool)
    out["content"] = to_string(hash_bytes({static_cast<const std::byte*>(t.data()), t.bytes()}));
  return out;
}

// Values by the order in which they are first met, so that their names do not matter.
json describe_layers(const Graph& graph) {
  std::map<ValueId, int> number;
  const auto numbered = [&](ValueId id) {
    return id == kNoValue ? -1 : number.emplace(id, static_cast<int>(number.size())).first->second;
  };
  for (ValueId id : graph.inputs) numbered(id);
  json layers = json::array();
  for (const Node& node : graph.nodes) {
    json inputs = json::array(), outputs = json::array();
    for (ValueId id : node.inputs) {
      const bool known = id == kNoValue || number.contains(id);
      const int n = numbered(id);
      if (!known && graph.is_constant(id))
        inputs.push_back(describe_constant(graph.value(id)));
      else
        inputs.push_back(n);
    }
    for (ValueId id : node.outputs) outputs.push_back(numbered(id));
    layers.push_back({{"op", op_name(node.op)},
                      {"name", node.name},
                      {"attributes", attributes_text(node)},
                      {"inputs", std::move(inputs)},
                      {"outputs", std::move(outputs)}});
  }
  return layers;
}

json describe_ports(const Graph& graph, const std::vector<ValueId>& ids) {
  json out = json::array();
  for (ValueId id : ids)
    out.push_back({{"name", graph.value(id).name},
                   {"is", fmt::format("{} {}", dtype_name(graph.value(id).dtype), shape_text(graph.value(id)))}});
  return out;
}

std::string text_of(const json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_string() ? object[key].get<std::string>() : "";
}

// Empty where there is none.
json list_of(const json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_array() ? object[key] : json::array();
}

bool quantizes(const json& record) {
  return std::ranges::any_of(list_of(record, "layers"), [](const json& layer) {
    return text_of(layer, "op").find("uantize") != std::string::npos;
  });
}

struct Names {
  std::string_view engine, model;
  template <class... Args>
  Status differ(fmt::format_string<Args...> format, Args&&... args) const {
    return bad_input("{}: a refit exchanges the weights of one architecture, and {} has another: {}; build it with "
                     "`vitrail build`",
                     engine, model, fmt::format(format, std::forward<Args>(args)...));
  }
};

Status compare_layer(const json& a, const json& b, size_t index, const Names& names) {
  const std::string op = text_of(a, "op"), name = text_of(a, "name");
  if (op != text_of(b, "op"))
    return names.differ("layer {} is '{}' ({}) in the engine and '{}' ({}) in the model", index, name, op,
                        text_of(b, "name"), text_of(b, "op"));
  if (text_of(a, "attributes") != text_of(b, "attributes"))
    return names.differ("layer '{}' ({}) has {} in the engine and {} in the model", name, op,
                        text_of(a, "attributes"), text_of(b, "attributes"));
  const json x = list_of(a, "inputs"), y = list_of(b, "inputs");
  for (size_t i = 0; i < std::max(x.size(), y.size()); ++i) {
    const json p = i < x.size() ? x[i] : json(), q = i < y.size() ? y[i] : json();
    if (p.is_object() && q.is_object()) {
      if (text_of(p, "is") != text_of(q, "is"))
        return names.differ("layer '{}' ({}): its weight '{}' is {} in the engine and {} ('{}') in the model", name, op,
                            text_of(p, "name"), text_of(p, "is"), text_of(q, "is"), text_of(q, "name"));
      if (text_of(p, "content") != text_of(q, "content"))
        return names.differ("layer '{}' ({}): the numbers of '{}' are others in '{}', and they are no weights", name, op,
                            text_of(p, "name"), text_of(q, "name"));
    } else if (p != q) {
      return names.differ("input {} of layer '{}' ({}) comes from elsewhere", i, name, op);
    }
  }
  if (list_of(a, "outputs") != list_of(b, "outputs"))
    return names.differ("the outputs of layer '{}' ({}) go elsewhere", name, op);
  return {};
}

Status compare_ports(const json& a, const json& b, const char* what, const Names& names) {
  if (a.size() != b.size()) return names.differ("{} {}s in the engine and {} in the model", a.size(), what, b.size());
  for (size_t i = 0; i < a.size(); ++i)
    if (text_of(a[i], "is") != text_of(b[i], "is"))
      return names.differ("{} '{}' is {} in the engine and {} in the model", what, text_of(a[i], "name"),
                          text_of(a[i], "is"), text_of(b[i], "is"));
  return {};
}

}  // namespace

bool finds_ranges_itself(const BuildOptions& options) {
  return options.backend == "tensorrt" && options.precision == "int8" &&
         (!options.calibrate.empty() || options.plan.calibration.wanted());
}

std::string record_build(const Graph& graph, const BuildOptions& options) {
  const json record{
      {"byte_input", options.byte_input},
      {"drop_fake_quantization", options.fuse.drop_fake_quantization},
      {"dims", options.model.import.dims},
      {"calibrated", options.precision == "fp8" || finds_ranges_itself(options)},
      {"plan", {{"refit", options.plan.refit || options.plan.strip_weights}, {"elsewhere", !options.plan.load_plan.empty()}}},
      {"inputs", describe_ports(graph, graph.inputs)},
      {"layers", describe_layers(graph)},
      {"outputs", describe_ports(graph, graph.outputs)}};
  return record.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<BuildOptions> recorded_options(const EngineInfo& info, std::string_view engine) {
  if (info.build_json.empty())
    return bad_input("{}: an older Vitrail built it and wrote nothing down to refit it by; build it again", engine);
  VTL_ASSIGN(const json record, parse_json(info.build_json));
  Status status;
  const JsonCursor j(record, status);
  const auto flag = [](const JsonCursor& c) {
    if (!c.json().is_boolean()) c.fault("is not true or false");
    return c.json().is_boolean() && c.json().get<bool>();
  };
  BuildOptions options;
  options.byte_input = flag(j["byte_input"]);
  options.fuse.drop_fake_quantization = flag(j["drop_fake_quantization"]);
  j["dims"].for_each_member(
      [&](const std::string& name, const JsonCursor& size) { options.model.import.dims[name] = size.integer(1); });
  const bool calibrated = flag(j["calibrated"]), elsewhere = flag(j["plan"]["elsewhere"]);
  options.plan.refit = flag(j["plan"]["refit"]);
  VTL_TRY(status.with_context(fmt::format("{}: how it was built", engine)));
  if (calibrated)
    return bad_input("{}: its {} ranges were calibrated with the weights that it has, and would not hold for others; "
                     "build the new weights with `vitrail build --precision {} --calibrate FOLDER`",
                     engine, info.precision, info.precision);
  if (info.backend == "tensorrt" && elsewhere)
    return bad_input("{}: its plan was made elsewhere, so nobody knows its weights by name; build one with `vitrail "
                     "build --backend tensorrt --refit`",
                     engine);
  if (info.backend == "tensorrt" && !options.plan.refit)
    return bad_input("{}: its plan was built without --refit, so its weights are part of its kernels; build it with "
                     "`vitrail build --backend tensorrt --refit` once, then it can be refitted",
                     engine);
  if (info.backend == "tensorrt" && quantizes(record))
    return bad_input("{}: TensorRT chose its 8-bit ranges into the plan, and they would not hold for other weights; "
                     "quantize the new model and build it again",
                     engine);
  options.backend = info.backend;
  options.precision = info.precision;
  options.profiles = info.profiles;
  options.workspace_bytes = info.workspace_bytes;
  return options;
}

Status same_architecture(const std::string& of_engine, const std::string& of_model, std::string_view engine,
                         std::string_view model) {
  VTL_ASSIGN(const json a, parse_json(of_engine));
  VTL_ASSIGN(const json b, parse_json(of_model));
  if (!a.is_object() || !b.is_object()) return bad_input("{}: how it was built is damaged", engine);
  if (quantizes(a) && !quantizes(b))
    return bad_input("{}: it computes in 8 bits by ranges that belong to its weights, and {} is a float model; quantize it "
                     "first (`vitrail quantize`), then refit with that",
                     engine, model);
  const Names names{engine, model};
  VTL_TRY(compare_ports(list_of(a, "inputs"), list_of(b, "inputs"), "input", names));
  const json x = list_of(a, "layers"), y = list_of(b, "layers");
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) VTL_TRY(compare_layer(x[i], y[i], i, names));
  if (x.size() != y.size()) return names.differ("{} layers in the engine and {} in the model", x.size(), y.size());
  return compare_ports(list_of(a, "outputs"), list_of(b, "outputs"), "output", names);
}

void use_names_of(const Graph& other, Graph& graph) {
  for (const auto& [from, to] : {std::pair{&other.inputs, &graph.inputs}, {&other.outputs, &graph.outputs}}) {
    const auto has = [&](ValueId id) {
      return std::ranges::any_of(*to, [&](ValueId t) { return graph.value(t).name == other.value(id).name; });
    };
    if (from->size() != to->size() || std::ranges::all_of(*from, has)) continue;
    for (size_t i = 0; i < to->size(); ++i) {
      const std::string& name = other.value((*from)[i]).name;
      const ValueId known = graph.find(name);
      if (known != kNoValue && known != (*to)[i]) graph.value(known).name = unique_name(graph, name);
      graph.value((*to)[i]).name = name;
    }
  }
}

}  // namespace vitrail
