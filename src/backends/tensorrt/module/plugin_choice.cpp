// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/plugin_choice.h"

#include <algorithm>
#include <limits>
#include <map>
#include <random>

#include "backends/tensorrt/module/plan_backend.h"
#include "core/error.h"

namespace vitrail::tensorrt {
namespace {

constexpr int kWarmUps = 5, kRuns = 25;

// The node as a graph of its own, with weights, whose inputs are the values that the others give it.
Graph alone(const Graph& graph, const Node& node) {
  Graph single;
  single.name = graph.name;
  single.nodes.push_back(node);
  std::map<ValueId, ValueId> ids;
  const auto moved = [&](ValueId id) {
    if (id == kNoValue) return id;
    const auto [it, fresh] = ids.emplace(id, kNoValue);
    if (fresh) it->second = single.add_value(graph.value(id));
    return it->second;
  };
  for (ValueId& id : single.nodes[0].inputs) {
    const ValueId old = id;
    const bool known = ids.contains(old);
    id = moved(old);
    if (id != kNoValue && !known && !single.is_constant(id)) single.inputs.push_back(id);
  }
  for (ValueId& id : single.nodes[0].outputs) {
    id = moved(id);
    if (id != kNoValue) single.outputs.push_back(id);
  }
  return single;
}

// Tensors of a graph's inputs or outputs at one batch size; inputs are random, since zeros are quicker.
std::vector<Tensor> tensors_of(const Graph& graph, const std::vector<ValueId>& ids, int64_t batch) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<Tensor> tensors;
  for (ValueId id : ids) {
    tensors.emplace_back(graph.value(id).dtype, at_batch(*graph.value(id).shape, batch));
    if (graph.value(id).dtype == DType::kF32)
      for (float& x : tensors.back().as_mutable<float>()) x = normal(random);
  }
  return tensors;
}

// Median microseconds on the GPU.
Result<double> time_of(const Graph& node, CompileOptions options, PlanOptions plan, const std::string& plugins) {
  plan.plugins = plugins;
  const int64_t batch = plan.profiles[0].opt;
  options.plan = std::make_shared<const PlanOptions>(plan);
  auto graph = std::make_shared<Graph>(node);
  const PlanBackend backend;
  VTL_TRY(backend.compile(*graph, options).status());
  VTL_ASSIGN(const auto program, backend.load(graph, {}));
  ContextOptions context_options;
  context_options.max_batch = batch;
  context_options.workspace_bytes = std::numeric_limits<int64_t>::max();
  VTL_ASSIGN(const auto context, program->create_context(context_options));
  std::vector<Tensor> in = tensors_of(*graph, graph->inputs, batch);
  std::vector<Tensor> out = tensors_of(*graph, graph->outputs, batch);
  std::vector<TensorView> inputs;
  std::vector<MutableTensorView> outputs;
  for (const Tensor& t : in) inputs.push_back(t.view());
  for (Tensor& t : out) outputs.push_back(t.mutable_view());
  std::vector<double> us;
  for (int i = 0; i < kWarmUps + kRuns; ++i) {
    VTL_TRY(context->run(batch, inputs, outputs, nullptr));
    if (const auto times = context->device_times(); times && i >= kWarmUps) us.push_back(times->compute_us);
  }
  if (us.empty()) return internal_error("--plugins auto: TensorRT's layers have no times here");
  std::ranges::nth_element(us, us.begin() + std::ssize(us) / 2);
  return us[us.size() / 2];
}

// Whether Vitrail's kernel is the faster one for the first node of this operator that it can take.
Result<bool> is_faster(const Graph& graph, const CompileOptions& options, const PlanOptions& plan, Op op) {
  const auto node = std::ranges::find_if(graph.nodes, [&](const Node& n) {
    return n.op == op && (op != Op::MultiHeadAttention || n.input(3) == kNoValue) &&
           (op != Op::Linear || n.text("activation", "").starts_with("gelu"));
  });
  if (node == graph.nodes.end()) return false;
  const Graph single = alone(graph, *node);
  VTL_ASSIGN(const double theirs, time_of(single, options, plan, "off"));
  VTL_ASSIGN(const double ours, time_of(single, options, plan, "on"));
  return ours < theirs;
}

// Measured on 8.5 in FP16 (docs/benchmarks/tensorrt.md): 8.x multiplies attention in FP32. A bare plan, and one for other
// versions or GPUs, is to be loadable without this module.
bool are_known_to_be_faster(const CompileOptions& options, const PlanOptions& plan) {
  return kTakesPlugins && !kStronglyTyped && !plugin_kinds().empty() && options.precision != "fp32" &&
         options.precision != "tf32" && plan.save_plan.empty() && !plan.version_compatible && !plan.hardware_compatible;
}

}  // namespace

Result<PluginUse> choose_plugins(const Graph& graph, const CompileOptions& options, const PlanOptions& plan) {
  if (plan.plugins == "off") return PluginUse{};
  if (plan.plugins.empty()) return are_known_to_be_faster(options, plan) ? PluginUse{true, true, true} : PluginUse{};
  if (!kTakesPlugins)
    return unavailable("--plugins {}: the networks of TensorRT-RTX take no plugins; build with TensorRT 8.5 or newer",
                       plan.plugins);
  if (plugin_kinds().empty())
    return unavailable(
        "--plugins {}: this TensorRT module was compiled without Vitrail's CUDA kernels; configure with "
        "-DVITRAIL_CUDA=ON and build again",
        plan.plugins);
  if (plan.plugins == "on") return PluginUse{true, true, true};
  PlanOptions small = plan;
  small.profiles = {{plan.profiles[0].opt, plan.profiles[0].opt, plan.profiles[0].opt}};
  small.save_plan.clear();
  small.strip_weights = small.refit = false;
  CompileOptions quiet = options;
  quiet.progress = nullptr;
  PluginUse use;
  VTL_ASSIGN(use.attention, is_faster(graph, quiet, small, Op::MultiHeadAttention));
  VTL_ASSIGN(use.layer_norm, is_faster(graph, quiet, small, Op::LayerNormalization));
  VTL_ASSIGN(use.gelu, is_faster(graph, quiet, small, Op::Linear));
  return use;
}

}  // namespace vitrail::tensorrt
