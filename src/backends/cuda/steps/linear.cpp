// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "backends/cuda/steps/steps.h"
#include "core/error.h"
#include "graph/linear_inputs.h"

namespace vitrail::cuda {
namespace {

constexpr std::array<std::pair<std::string_view, Activation>, 6> kActivations{
    {{"none", Activation::kNone},
     {"relu", Activation::kRelu},
     {"gelu", Activation::kGelu},
     {"gelu_tanh", Activation::kGeluTanh},
     {"sigmoid", Activation::kSigmoid},
     {"tanh", Activation::kTanh}}};

// Inputs and outputs of a packed Linear.
enum : size_t { kX, kWeight, kBias, kResidual, kStats, kColScale };
ValueId output(const Node& node, size_t i) { return i < node.outputs.size() ? node.outputs[i] : kNoValue; }

class LinearStep : public Step {
 public:
  LinearStep(const Graph& graph, const Node& node) : graph_(graph), node_(node) {}

  int64_t scratch_bytes(int64_t batch) const override {
    return needs_lt() ? lt_scratch_bytes(product_of(graph_, node_, batch)) : 0;
  }
  bool needs_lt() const override {
    return node_.text("kernel", "") == "cublaslt" || node_.text("tactics_lt", "") == "1";
  }

  Result<std::unique_ptr<Launch>> bind(const Binding& b) const override {
    Product p = product_of(graph_, node_, b.batch);
    p.args.a = b.data(node_.input(kX));
    p.args.b = b.data(node_.input(kWeight));
    p.args.bias = b.data<float>(node_.input(kBias));
    p.args.residual = b.data(node_.input(kResidual));
    p.args.stats = b.data<float>(node_.input(kStats));
    if (p.args.stats) p.args.stats_width = b.stats_widths[static_cast<size_t>(node_.input(kStats))];
    p.args.col_scale = b.data<float>(node_.input(kColScale));
    p.args.d = b.data(output(node_, 0));
    p.args.stats_out = b.data<float>(output(node_, 1));
    p.args.d8 = b.data(output(node_, 2));
    std::string config = node_.text("kernel", "") == "cublaslt" ? kLtPrefix + std::string("0") : "";
    if (const std::string tuned = tactic_of(node_, b.batch); !tuned.empty()) config = tuned;
    return bind_product(p, config, b, layer_text(node_), output(node_, 1));
  }

 private:
  const Graph& graph_;
  const Node& node_;
};

// What every kernel for a Linear of the model needs; K and N otherwise.
std::string refuse_shape(const Graph& graph, const Node& node) {
  if (!graph.is_constant(node.input(1)) || graph.constant(node.input(1)).rank() != 2)
    return "weight is not a constant matrix";
  const ValueId bias = bias_of(node), residual = residual_of(node);
  if (bias != kNoValue && !graph.is_constant(bias)) return "bias is not a constant";
  if (!rows_of(graph, node.input(0))) return "the number of rows is not affine in the batch";
  if (const std::string name = node.text("activation", "none"); !activation_from_name(name))
    return fmt::format("no epilogue for activation '{}'", name);
  if (residual == kNoValue) return "";
  // The rows of a smaller residual repeat: only leading extents may be missing or 1.
  const SymShape& out = *graph.value(node.outputs[0]).shape;
  SymShape r = *graph.value(residual).shape;
  r.erase(r.begin(), std::find_if(r.begin(), r.end(), [](Dim d) { return d != Dim::of(1); }));
  if (r.size() > out.size() || !std::equal(r.rbegin(), r.rend(), out.rbegin()))
    return fmt::format("residual {} is not rows of {}", to_string(*graph.value(residual).shape),
                       to_string(out));
  return r.empty() ? "the residual is a scalar" : "";
}

GemmArgs shape_only(const Graph& graph, const Node& node) {
  GemmArgs args;
  args.m = 1;
  args.k = graph.constant(node.input(1)).dim(0);
  args.n = graph.constant(node.input(1)).dim(1);
  return args;
}

}  // namespace

std::optional<Activation> activation_from_name(std::string_view name) {
  for (const auto& [known, activation] : kActivations)
    if (known == name) return activation;
  return std::nullopt;
}

std::string refuse_linear_own(const Graph& graph, const Node& node, const Target& target) {
  if (!target.precision.half()) return fmt::format("computes 16 and 8 bits, not {}", target.precision.name);
  if (!target.device.has_wgmma())
    return fmt::format("needs compute capability 9.0, this is {}.{}", target.device.cc / 10,
                       target.device.cc % 10);
  if (const std::string reason = refuse_shape(graph, node); !reason.empty()) return reason;
  if (!is_float(graph.value(node.input(1)).dtype)) return "weight is not of a floating type";
  return refuse_gemm(target.precision.type, shape_only(graph, node));
}

std::string refuse_linear_lt(const Graph& graph, const Node& node, const Target&) {
  if (!is_float(graph.value(node.input(1)).dtype)) return "weight is not of a floating type";
  return refuse_shape(graph, node);
}

std::string refuse_quantized_linear(const Graph& graph, const Node& node, const Target& target) {
  if (!target.device.has_wgmma() || !target.precision.half())
    return fmt::format(
        "needs --precision int8 (or fp16, fp8) and compute capability 9.0, this is {} and {}.{}",
        target.precision.name, target.device.cc / 10, target.device.cc % 10);
  if (const std::string reason = refuse_shape(graph, node); !reason.empty()) return reason;
  if (!graph.is_constant(node.input(2))) return "the scales are not constant";
  return refuse_gemm(Type::kS8, shape_only(graph, node));
}

std::unique_ptr<Step> make_linear(const Graph& graph, const Node& node) {
  return std::make_unique<LinearStep>(graph, node);
}

Product product_of(const Graph& graph, const Node& node, int64_t batch) {
  const bool patches = node.op == Op::PatchEmbed;
  const ValueId y = node.outputs[0];
  Product p;
  p.type = type_attribute(node, "type", Type::kF16);
  p.tf32 = node.integer("tf32", 0) != 0;
  GemmArgs& a = p.args;
  // Placeholders tell which operands there are; bind() puts the addresses.
  const auto mark = [](bool there) { return reinterpret_cast<void*>(there ? 16 : 0); };
  a.m = rows_of(graph, y)->at(batch);
  a.n = node.integer("packed_n", 0);
  a.k = graph.constant(node.input(kWeight)).dim(1);
  a.out = type_of(graph, y);
  a.bias = static_cast<float*>(mark(node.input(kBias) != kNoValue));
  a.d = mark(node.integer("only_q", 0) == 0);
  a.stats_out = static_cast<float*>(mark(output(node, 1) != kNoValue));
  const ValueId residual = node.input(kResidual);
  a.residual = mark(residual != kNoValue);
  if (residual != kNoValue) a.residual_rows = rows_of(graph, residual)->at(batch);
  if (patches) return p;
  a.activation = activation_from_name(node.text("activation", "none")).value_or(Activation::kNone);
  a.col_scale = static_cast<float*>(mark(node.input(kColScale) != kNoValue));
  a.stats = static_cast<float*>(mark(node.input(kStats) != kNoValue));
  a.stats_columns = static_cast<int>(a.k);
  a.epsilon = node.real("epsilon", 1e-5f);
  a.d8 = mark(output(node, 2) != kNoValue);
  a.d8_scale = node.real("q_scale", 1);
  a.d8_zero = node.real("q_zero", 0);
  return p;
}

std::string tactic_of(const Node& node, int64_t batch) {
  const auto found = node.attributes.find("tactics");
  if (found == node.attributes.end()) return "";
  const auto* list = std::get_if<std::vector<std::string>>(&found->second);
  if (!list) return "";
  int64_t best = INT64_MAX;
  std::string config;
  for (const std::string& entry : *list) {
    const size_t at = entry.find('=');
    if (at == std::string::npos) continue;
    const int64_t size = std::atoll(entry.c_str());
    if (size >= batch && size < best) best = size, config = entry.substr(at + 1);
  }
  return config;
}

}  // namespace vitrail::cuda
