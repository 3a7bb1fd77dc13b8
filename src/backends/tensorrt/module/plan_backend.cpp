// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/plan_backend.h"

#include <algorithm>

#include "backends/cuda/device.h"
#include "backends/tensorrt/module/build_plan.h"
#include "backends/tensorrt/module/inspect.h"
#include "backends/tensorrt/module/plan_weights.h"
#include "backends/tensorrt/module/plugin_choice.h"
#include "backends/tensorrt/module/program.h"
#include "core/error.h"
#include "core/files.h"
#include "graph/cost.h"
#include "graph/edit.h"

namespace vitrail::tensorrt {
namespace {

// What is read back from the engine that was built. Nothing where it cannot be loaded here.
struct ReadBack {
  std::string json;
  std::vector<int64_t> context_bytes;
};

ReadBack read_back(const Library& library, const BuiltPlan& built, size_t profiles) {
  ReadBack back;
  Logger logger;
  const auto runtime = library.make_runtime(logger);
  if (!runtime.ok()) return back;
  const std::unique_ptr<nv::ICudaEngine> engine(
      (*runtime)->deserializeCudaEngine(built.bytes.data(), built.bytes.size()));
  if (!engine) return back;
  back.json = describe(*engine);
  logger.log(nv::ILogger::Severity::kVERBOSE, back.json.c_str());
  for (size_t p = 0; p < profiles; ++p)
    back.context_bytes.push_back(context_bytes(*engine, static_cast<int>(p)));
  return back;
}

Tensor bytes_tensor(std::vector<std::byte> bytes) {
  auto owner = std::make_shared<std::vector<std::byte>>(std::move(bytes));
  const Shape shape{static_cast<int64_t>(owner->size())};
  const void* data = owner->data();
  return Tensor(DType::kU8, shape, data, std::move(owner));
}

}  // namespace

Status PlanBackend::available() const { return Library::get().status(); }

Result<std::vector<LayerReport>> PlanBackend::compile(Graph& graph, const CompileOptions& options) const {
  VTL_ASSIGN(const Library* library, Library::get());
  PlanOptions plan = options.plan ? *options.plan : PlanOptions();
  if (plan.profiles.empty()) plan.profiles.push_back({1, options.max_batch, options.max_batch});
  if (options.precision == "int8" && plan.load_plan.empty()) {
    const bool pairs = std::ranges::any_of(graph.nodes, [](const Node& n) {
      return n.op == Op::QuantizedLinear || n.op == Op::DequantizeLinear;
    });
    if (!pairs && !plan.calibration.wanted())
      return usage_error(
          "--precision int8: the model has no Q/DQ pairs around its products; make some with `vitrail quantize`, give a model "
          "that ONNX Runtime's quantize_static or NVIDIA's ModelOpt wrote, or --calibrate FOLDER (TensorRT 8.5 to 10)");
    if (pairs && plan.calibration.wanted())
      return usage_error("--calibrate: the ranges of this model stand in its Q/DQ pairs; leave the option out");
  }
  BuiltPlan built;
  PluginUse plugins;
  if (plan.load_plan.empty()) {
    VTL_ASSIGN(plugins, choose_plugins(graph, options, plan));
    VTL_ASSIGN(built, build_plan(*library, graph, options, plan, plugins));
  } else {
    VTL_ASSIGN(built, read_plan_file(graph, plan.load_plan));
  }
  if (!plan.save_plan.empty()) {
    const ByteSpan parts[] = {built.bytes};
    VTL_TRY(write_file_atomically(plan.save_plan, parts).with_context("--save-engine"));
  }
  const ReadBack back = read_back(*library, built, built.dynamic ? plan.profiles.size() : 1);
  VTL_ASSIGN(const Precision precision, parse_precision(options.precision, plan.calibration.wanted()));
  std::vector<EngineLayer> layers = parse_layers(back.json);
  if (layers.empty()) layers = parse_log(built.layers);
  Inspected inspected = make_reports(graph, layers, precision, plugins);

  Node node;
  node.op = Op::Plan;
  node.name = "tensorrt";
  node.stage = "model";
  node.inputs.push_back(add_weight(graph, "tensorrt.plan", bytes_tensor(std::move(built.bytes))));
  node.inputs.insert(node.inputs.end(), graph.inputs.begin(), graph.inputs.end());
  if (plugins.any()) node.attributes[kPluginUse] = plugins.packed();
  if (!built.weights.empty()) describe_weights(built.weights, node);
  if (plan.strip_weights) {
    node.attributes[kStripped] = int64_t{1};
    attach_weights(std::move(built.weights), graph, node);
  }
  node.outputs = graph.outputs;
  node.attributes[kContextBytes] = back.context_bytes;
  node.attributes[kLayerNames] = std::move(inspected.layer_names);
  node.attributes[kLayerReports] = std::move(inspected.layer_reports);
  std::vector<int64_t> profiles;
  if (built.dynamic)
    for (const Profile& p : plan.profiles) profiles.insert(profiles.end(), {p.min, p.opt, p.max});
  if (!profiles.empty()) node.attributes[kProfiles] = profiles;
  graph.metadata[kLibraryKey] = library->name();
  if (const auto device = cuda::current_device(); device.ok())
    graph.metadata[kDeviceKey] = fmt::format("{} (sm_{})", device->name, device->cc);
  graph.nodes = {std::move(node)};
  compact(graph);
  VTL_TRY(verify_graph(graph));
  return std::move(inspected.reports);
}

Result<std::vector<LayerReport>> PlanBackend::refit(const Engine& engine, Graph& graph,
                                                    const CompileOptions& options) const {
  VTL_ASSIGN(const PlanWeights known, read_weights(*engine.graph));
  VTL_ASSIGN(const Library* library, Library::get());
  VTL_ASSIGN(std::vector<NamedTensor> weights, plan_weights(*library, graph, options,
                                                              PluginUse::unpacked(engine.graph->nodes[0].integers(kPluginUse))));
  VTL_TRY(use_plan_names(known, weights));
  Node node = engine.graph->nodes[0];
  std::vector<std::byte> baked;
  if (!known.stripped && cuda::current_device().ok()) {
    VTL_ASSIGN(baked, bake_weights(*library, *engine.graph, known, weights));
    describe_weights(weights, node);
  }
  const Tensor& plan = engine.graph->constant(node.input(0));
  node.inputs = {add_weight(graph, "tensorrt.plan", baked.empty() ? plan : bytes_tensor(std::move(baked)))};
  node.inputs.insert(node.inputs.end(), graph.inputs.begin(), graph.inputs.end());
  if (const Tensor& kept = graph.constant(node.input(0)); kept.data() == plan.data())
    attach_weights(std::move(weights), graph, node);
  node.outputs = graph.outputs;
  for (const char* key : {kLibraryKey, kDeviceKey})
    if (const auto it = engine.graph->metadata.find(key); it != engine.graph->metadata.end())
      graph.metadata[key] = it->second;
  graph.nodes = {std::move(node)};
  compact(graph);
  VTL_TRY(verify_graph(graph));
  return engine.info.layers;
}

Result<std::shared_ptr<const Program>> PlanBackend::load(std::shared_ptr<const Graph> graph,
                                                         const LoadOptions& options) const {
  return PlanProgram::create(std::move(graph), options.plan_only);
}

}  // namespace vitrail::tensorrt
