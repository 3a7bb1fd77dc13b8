// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/layers.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "core/text_table.h"
#include "workflow/inspect.h"

namespace vitrail::cli {
namespace {

nlohmann::ordered_json tensors_json(const std::vector<TensorDescription>& list) {
  auto json = nlohmann::ordered_json::array();
  for (const auto& t : list) json.push_back({{"name", t.name}, {"dtype", t.dtype}, {"shape", t.shape}});
  return json;
}

int64_t integer_products(const QuantizationReport& report) {
  return std::ranges::count_if(report.products, &ProductReport::integer);
}

nlohmann::ordered_json quantization_json(const Inspection& i) {
  auto products = nlohmann::ordered_json::array();
  for (const ProductReport& p : i.quantization.products)
    products.push_back({{"name", p.name},
                        {"op", p.op},
                        {"activation", p.activation},
                        {"weights", p.weights},
                        {"integer", p.integer},
                        {"reason", p.reason}});
  const int64_t integer = integer_products(i.quantization);
  return {{"scheme", i.quantization_scheme},
          {"integer_products", integer},
          {"float_products", std::ssize(i.quantization.products) - integer},
          {"weight_bytes", i.quantization.weight_bytes},
          {"products", products}};
}

// One line for all products alike.
std::string quantization_text(const Inspection& i) {
  const QuantizationReport& q = i.quantization;
  if (q.products.empty()) return "";
  std::string text = fmt::format("Quantization: {}, {} of {} products in integers, {} of weights in 8 bits\n",
                                 i.quantization_scheme, integer_products(q), q.products.size(),
                                 human_bytes(q.weight_bytes));
  std::map<std::string, std::vector<const ProductReport*>> alike;
  for (const ProductReport& p : q.products)
    alike[fmt::format("{} {}, {} · {}{}{}", p.integer ? "integer" : "float", p.op, p.activation, p.weights,
                      p.integer ? "" : ": ", p.reason)]
        .push_back(&p);
  for (const auto& [what, products] : alike)
    text += fmt::format("  {} × {} (the first is '{}')\n", products.size(), what, products[0]->name);
  return text;
}

// What missed the fast path and why, one line for all parts alike. Kernels of bytes are missed by every float model, and count in
// quantized ones alone.
std::string missed_text(const Inspection& i) {
  std::vector<std::pair<std::string, std::vector<std::string>>> alike;
  const auto add = [&](const std::string& what, const std::string& name) {
    auto found = std::ranges::find(alike, what, &std::pair<std::string, std::vector<std::string>>::first);
    if (found == alike.end()) found = alike.insert(alike.end(), {what, {}});
    found->second.push_back(name);
  };
  for (const Unfused& part : i.unfused) add(fmt::format("{} stays in single layers: {}", part.part, part.reason), part.name);
  for (const LayerReport& l : i.layers)
    if (l.kernel == "reference" || !i.quantization.products.empty())
      for (const Refusal& r : l.refused) add(fmt::format("{} runs on {}, not {}: {}", l.op, l.kernel, r.kernel, r.reason), l.name);
  if (alike.empty()) return "";
  std::string text = "\nMissed the fast path:\n";
  for (const auto& [what, names] : alike)
    text += fmt::format("  {} × {} (the first is '{}')\n", names.size(), what, names[0]);
  return text;
}

nlohmann::ordered_json to_json(const Inspection& i) {
  const ModelStructure& s = i.structure;
  auto stages = nlohmann::ordered_json::array();
  for (const StageCost& c : i.stages)
    stages.push_back({{"stage", c.stage},
                      {"layers", c.layers},
                      {"parameters", c.parameters},
                      {"flops", c.flops},
                      {"activation_bytes", c.activation_bytes}});
  auto passes = nlohmann::ordered_json::object();
  for (const PassReport& p : i.passes) passes[p.pass] = p.changes;
  auto unfused = nlohmann::ordered_json::array();
  for (const Unfused& part : i.unfused)
    unfused.push_back({{"part", part.part}, {"name", part.name}, {"reason", part.reason}});
  return {{"model", i.model},
          {"hash", i.hash},
          {"opset", i.opset},
          {"inputs", tensors_json(i.inputs)},
          {"outputs", tensors_json(i.outputs)},
          {"operators", i.operators},
          {"parameters", i.parameters},
          {"flops", i.flops},
          {"stages", stages},
          {"structure",
           {{"blocks", s.blocks},
            {"heads", s.heads},
            {"head_dim", s.head_dim},
            {"width", s.width},
            {"mlp_width", s.mlp_width},
            {"tokens", s.tokens},
            {"prefix_tokens", s.prefix_tokens},
            {"pooling", s.pooling},
            {"head", s.head},
            {"reason", s.reason}}},
          {"quantization", quantization_json(i)},
          {"passes", passes},
          {"unfused", unfused},
          {"backend", i.backend},
          {"layers", layers_json(i.layers)},
          {"warnings", i.warnings}};
}

std::string to_text(const Inspection& i) {
  std::string text = fmt::format("{}: opset {}, {:.2f} M parameters, {:.2f} GFLOP an image\n", i.model,
                                 i.opset, static_cast<double>(i.parameters) * 1e-6, i.flops * 1e-9);
  for (const auto& t : i.inputs) text += fmt::format("  input  {} {}{}\n", t.name, t.dtype, t.shape);
  for (const auto& t : i.outputs) text += fmt::format("  output {} {}{}\n", t.name, t.dtype, t.shape);
  text += "\nOperators:";
  for (const auto& [op, n] : i.operators) text += fmt::format(" {}×{}", op, n);
  const ModelStructure& s = i.structure;
  text += "\n\nRecognised: ";
  if (s.blocks == 0)
    text += fmt::format("no transformer: {}\n", s.reason);
  else
    text += fmt::format(
        "patch embedding ({} tokens, {} of them class or register), {} blocks of width {}, {} heads × {}, "
        "MLP {}, pooling: {}, head: {}\n",
        s.tokens, s.prefix_tokens, s.blocks, s.width, s.heads, s.head_dim, s.mlp_width, s.pooling, s.head);
  text += quantization_text(i);
  text += "Passes:";
  for (const PassReport& p : i.passes) text += fmt::format(" {} {}", p.pass, p.changes);
  text += "\n\n";
  TextTable table({"stage", "layers", "parameters", "MFLOP", "activations"});
  for (const StageCost& c : i.stages)
    table.add_row({c.stage, std::to_string(c.layers), std::to_string(c.parameters),
                   fmt::format("{:.1f}", c.flops * 1e-6), human_bytes(c.activation_bytes)});
  text += table.str();
  std::map<std::string, int> kernels;
  for (const LayerReport& l : i.layers) ++kernels[l.kernel];
  text += fmt::format("\nOn backend {}:", i.backend);
  for (const auto& [kernel, n] : kernels) text += fmt::format(" {}×{}", kernel, n);
  text += "\n";
  text += missed_text(i);
  return text;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  struct Flags {
    std::string model, backend = "cpu";
    ModelFlags model_flags;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("inspect", "Show what a model is made of and what will run it");
  verb->add_option("MODEL", flags->model, "ONNX file, or safetensors: file, index or folder")->required();
  verb->add_option("--backend", flags->backend, "cpu or reference")->capture_default_str();
  flags->model_flags.add(*verb);
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags, &action] {
    action = [flags]() -> Status {
      VTL_ASSIGN(const ModelOptions options, flags->model_flags.options());
      VTL_ASSIGN(const Inspection inspection, inspect_model(flags->model, flags->backend, options));
      for (const std::string& w : inspection.warnings) warn(w);
      if (flags->json)
        print_json(to_json(inspection));
      else
        print(to_text(inspection));
      return {};
    };
  });
}

}  // namespace vitrail::cli
