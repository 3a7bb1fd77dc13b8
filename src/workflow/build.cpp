// SPDX-License-Identifier: Apache-2.0
#include "workflow/build.h"

#include <algorithm>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>

#include "api/backends.h"
#include "backends/reference/evaluate.h"
#include "core/cancel.h"
#include "core/error.h"
#include "core/files.h"
#include "graph/cost.h"
#include "passes/byte_input.h"
#include "passes/widen_halves.h"
#include "preprocess/dataset.h"
#include "vitrail/version.h"
#include "workflow/build_record.h"
#include "workflow/calibrate.h"
#include "workflow/compare_precisions.h"
#include "workflow/downgrades.h"
#include "workflow/open.h"
#include "workflow/read_model.h"
#include "workflow/sample_runner.h"
#include "workflow/samples.h"

namespace vitrail {
namespace {

constexpr const char* kPreprocessKey = "vitrail.preprocess";
constexpr const char* kLabelsKey = "vitrail.labels";
constexpr size_t kMaxSidecarBytes = 16 << 20;

// Height and width of the first image input, when they are fixed.
void adopt_input_size(const Graph& graph, PreprocessContract& contract) {
  if (graph.inputs.empty()) return;
  const auto& shape = graph.value(graph.inputs[0]).shape;
  if (!shape || shape->size() != 4 || !(*shape)[2].is_fixed() || !(*shape)[3].is_fixed()) return;
  contract.height = static_cast<int>((*shape)[2].fixed);
  contract.width = static_cast<int>((*shape)[3].fixed);
}

Status find_preprocess(const ModelOptions& options, ImportedModel& model) {
  adopt_input_size(model.graph, model.preprocess);
  std::string json, origin;
  if (!options.preprocess_file.empty()) {
    VTL_ASSIGN(json, read_file(options.preprocess_file, kMaxSidecarBytes));
    origin = options.preprocess_file;
  } else if (auto it = model.graph.metadata.find(kPreprocessKey); it != model.graph.metadata.end()) {
    json = it->second;
    origin = "the model's metadata";
  } else if (options.otherwise) {
    model.preprocess = *options.otherwise;
    model.preprocess_known = true;
    return {};
  } else {
    model.warnings.push_back(
        fmt::format("no preprocessing is known: assuming shortest side to {} bicubic, centre crop, ImageNet "
                    "mean and deviation; give "
                    "--preprocess FILE.json if the model was trained otherwise",
                    std::min(model.preprocess.height, model.preprocess.width)));
    return {};
  }
  auto contract = parse_contract(json, model.preprocess);
  if (!contract.ok()) return contract.status().with_context(origin);
  const auto& shape = model.graph.value(model.graph.inputs[0]).shape;
  if (shape && shape->size() == 4 &&
      ((*shape)[2] != Dim::of(contract->height) || (*shape)[3] != Dim::of(contract->width)))
    return bad_input("{}: prepares {}×{} images, but the model's input '{}' is {}", origin, contract->height,
                     contract->width, model.graph.value(model.graph.inputs[0]).name, to_string(*shape));
  model.preprocess = *contract;
  model.preprocess_known = true;
  return {};
}

Status find_labels(const ModelOptions& options, ImportedModel& model) {
  if (!options.labels_file.empty()) {
    VTL_ASSIGN(model.labels, load_labels(options.labels_file));
  } else if (auto it = model.graph.metadata.find(kLabelsKey); it != model.graph.metadata.end()) {
    const auto list = nlohmann::json::parse(it->second, nullptr, false);
    if (!list.is_array())
      return bad_input("the model's metadata '{}' is not a JSON array of names", kLabelsKey);
    for (const auto& label : list) {
      if (!label.is_string())
        return bad_input("the model's metadata '{}' holds something else than names", kLabelsKey);
      model.labels.push_back(label.get<std::string>());
    }
  }
  if (model.labels.empty() || model.graph.outputs.empty()) return {};
  const Value& output = model.graph.value(model.graph.outputs[0]);
  if (output.shape && output.shape->size() == 2 &&
      output.shape->back() != Dim::of(static_cast<int64_t>(model.labels.size())))
    model.warnings.push_back(fmt::format("{} labels were given, but the output '{}' is {}",
                                         model.labels.size(), output.name, to_string(*output.shape)));
  return {};
}

// The batch size that the model was exported with; 0 when any will do.
int64_t fixed_batch(const Graph& graph) {
  for (ValueId id : graph.inputs) {
    const auto& shape = graph.value(id).shape;
    if (shape && !shape->empty() && !(*shape)[0].is_fixed()) return 0;
  }
  if (graph.inputs.empty() || !graph.value(graph.inputs[0]).shape ||
      graph.value(graph.inputs[0]).shape->empty())
    return 1;
  return (*graph.value(graph.inputs[0]).shape)[0].fixed;
}

Result<std::vector<Profile>> choose_profiles(const Graph& graph, const std::vector<Profile>& wanted) {
  const int64_t fixed = fixed_batch(graph);
  if (wanted.empty()) return std::vector<Profile>{fixed ? Profile{fixed, fixed, fixed} : Profile{1, 8, 64}};
  for (const Profile& p : wanted) {
    if (p.min < 1 || p.min > p.opt || p.opt > p.max || p.max > 1 << 20)
      return usage_error("--profile {}:{}:{}: needs 1 <= min <= opt <= max <= {}", p.min, p.opt, p.max,
                         1 << 20);
    if (fixed && (p.min != fixed || p.max != fixed))
      return usage_error(
          "--profile {}:{}:{}: the model was exported for batch {} only; export it with a dynamic batch",
          p.min, p.opt, p.max, fixed);
  }
  return wanted;
}

// The share of the build that is done when each stage begins, from timings of ViT-B/16.
struct StageClock {
  const Progress& report;
  Status at(std::string_view stage, double done) const {
    if (cancel::requested()) return cancelled();
    if (report) report(stage, done);
    return {};
  }
};

// What `vitrail quantize` left in the model's metadata; empty for other models.
Result<std::string> quantization_of(const Graph& graph) {
  const auto it = graph.metadata.find(kQuantizationKey);
  if (it == graph.metadata.end()) return std::string();
  if (!nlohmann::json::accept(it->second)) return bad_input("the model's metadata '{}' is not JSON", kQuantizationKey);
  return it->second;
}

// Pictures for TensorRT's own calibration of a float model. `skipped` is filled while it runs.
Result<CalibrationFeed> feed_calibration(const ImportedModel& model, const BuildOptions& options,
                                         std::vector<std::string>& skipped) {
  CalibrationFeed feed = options.plan.calibration;
  if (options.calibrate.empty()) return feed;
  VTL_ASSIGN(SampleSource all, folder_samples(model.graph, model.preprocess, options.calibrate));
  feed.count = std::min(all.count, options.calibrate_samples);
  feed.load = [all = std::move(all), count = feed.count, &skipped](int64_t i) {
    auto sample = all.load(i * all.count / count);
    if (!sample.ok()) skipped.push_back(sample.status().message());
    return sample;
  };
  return feed;
}

// How large each value becomes, for the precisions that need to know.
Status find_ranges(const ImportedModel& model, const BuildOptions& options, const StageClock& clock,
                   std::map<std::string, float>& absmax, std::vector<std::string>& warnings) {
  if (options.precision != "fp8") {
    if (!options.calibrate.empty() && !finds_ranges_itself(options))
      warnings.push_back(options.precision == "int8"
                             ? "--calibrate was left out: int8 ranges come from the model's Q/DQ pairs, which `vitrail quantize` makes"
                             : fmt::format("--calibrate was left out: precision {} needs no calibration", options.precision));
    return {};
  }
  // The host's backends refuse fp8 in compile(), with their own words.
  if (runs_on_host(options.backend)) return {};
  CalibrateOptions calibration;
  calibration.images = options.calibrate;
  calibration.samples = options.calibrate_samples;
  calibration.threads = options.threads;
  calibration.progress = [&](int64_t done, int64_t total) {
    (void)clock.at("calibrate", 0.4 + 0.1 * static_cast<double>(done) / static_cast<double>(total));
  };
  VTL_ASSIGN(Calibration found, calibrate(model.graph, model.preprocess, calibration));
  absmax = std::move(found.absmax);
  warnings.insert(warnings.end(), found.warnings.begin(), found.warnings.end());
  return {};
}

// The model is the engine's but for its weights, and is called by the engine's names.
Status take_the_place(ImportedModel& model, const std::string& record, const BuildOptions& options,
                      const std::string& model_path) {
  const Engine& engine = *options.refit;
  VTL_TRY(same_architecture(engine.info.build_json, record, options.refit_name, model_path));
  use_names_of(*engine.graph, model.graph);
  if (model.labels.empty()) model.labels = engine.info.labels;
  return {};
}


// Whoever loads the bare plan needs the plugins too.
std::optional<std::string> plugins_in_bare_plan(const PlanOptions& plan, const EngineInfo& info) {
  const bool ours = std::ranges::any_of(info.layers, [](const LayerReport& l) { return l.kernel.starts_with("Vitrail"); });
  if (plan.save_plan.empty() || !(ours || plan.plugins == "on")) return std::nullopt;
  return fmt::format("--save-engine {}: the plan holds Vitrail's kernels: trtexec and Triton need libvitrail_tensorrt.so for it "
                     "(trtexec --dynamicPlugins=, before 8.6 --plugins=; Triton: LD_PRELOAD); --plugins off makes one that needs "
                     "TensorRT alone",
                     plan.save_plan);
}
}  // namespace

Result<ImportedModel> import_model(const std::string& path, const ModelOptions& options) {
  ImportedModel model;
  ImportReport report;
  const Evaluator evaluate = [](const Node& node, std::span<const Tensor* const> inputs) {
    return evaluate_node(node, inputs);
  };
  ImportOptions reading = options.import;
  reading.evaluate = evaluate;
  VTL_ASSIGN(ModelFile file, read_model_file(path, reading, report));
  model.graph = std::move(file.graph);
  model.file_name = std::move(file.name);
  model.hash = std::move(file.hash);
  model.warnings = std::move(report.warnings);
  model.quantized_operators = report.quantized_operators;
  model.quantization = describe_quantization(model.graph);
  if (const DType halves = widen_halves(model.graph); halves != DType::kUndefined)
    model.warnings.push_back(fmt::format("the model is in {}: its weights are widened to float32, exactly, and so are its inputs and "
                                         "outputs; --precision chooses what a backend computes in",
                                         dtype_name(halves)));
  VTL_TRY(simplify(model.graph, evaluate));
  model.parameters = parameter_count(model.graph);
  VTL_TRY(find_preprocess(options, model));
  VTL_TRY(find_labels(options, model));
  return model;
}

Result<BuildOutcome> build_engine(const std::string& model_path, const std::string& engine_path,
                                  const BuildOptions& options) {
  const StageClock clock{options.progress};
  const BackendRegistry backends = make_backends();
  VTL_TRY(clock.at("import", 0));
  // Meanwhile: opening a driver takes as long as an import.
  auto found = std::async([&] { return backends.find(options.backend); });
  auto imported = import_model(model_path, options.model);
  VTL_ASSIGN(const Backend* backend, found.get());
  VTL_TRY(imported.status());
  ImportedModel& model = *imported;

  BuildOutcome outcome;
  outcome.warnings = std::move(model.warnings);
  VTL_ASSIGN(outcome.info.profiles, choose_profiles(model.graph, options.profiles));
  VTL_TRY(clock.at("passes", 0.35));
  if (!backend->wants_fusion()) {
    outcome.structure = recognise_structure(model.graph);
  } else {
    FuseOptions how = options.fuse;
    // What int8 asks for is speed: rounding between float layers would only cost.
    how.drop_fake_quantization |= options.precision == "int8";
    VTL_ASSIGN(outcome.structure, fuse(model.graph, &outcome.passes, how));
  }

  if (options.byte_input && model.preprocess.arithmetic == Arithmetic::kTorchFloat)
    return usage_error("--input uint8: the model's preprocessing (\"arithmetic\": \"torchvision-float\") resizes floats: build with --input "
                       "float32, or give --preprocess with pillow or torchvision");
  if (options.byte_input)
    VTL_TRY(use_byte_input(model.graph, byte_scaling(model.preprocess.mean, model.preprocess.std))
                .with_context("--input uint8"));

  outcome.info.build_json = record_build(model.graph, options);
  if (options.refit) VTL_TRY(take_the_place(model, outcome.info.build_json, options, model_path));

  CompileOptions compile;
  VTL_TRY(find_ranges(model, options, clock, compile.absmax, outcome.warnings));
  VTL_TRY(clock.at("compile", 0.5));
  compile.precision = options.precision;
  for (const Profile& p : outcome.info.profiles) compile.max_batch = std::max(compile.max_batch, p.max);
  compile.timing_cache = options.timing_cache;
  PlanOptions plan = options.plan;
  plan.profiles = outcome.info.profiles;
  plan.workspace_bytes = options.workspace_bytes;
  plan.calibration = {};
  std::vector<std::string> skipped;
  if (finds_ranges_itself(options)) {
    VTL_ASSIGN(plan.calibration, feed_calibration(model, options, skipped));
  }
  compile.plan = std::make_shared<const PlanOptions>(std::move(plan));
  if (options.backend == "tensorrt")
    if (auto warning = widened_ranges(model.graph)) outcome.warnings.push_back(std::move(*warning));
  compile.progress = [&](double done) { (void)clock.at("compile", 0.5 + 0.25 * done); };
  VTL_ASSIGN(outcome.info.layers, options.refit ? backend->refit(*options.refit, model.graph, compile)
                                                : backend->compile(model.graph, compile));
  if (!skipped.empty()) outcome.warnings.push_back(skipped_warning("calibration", skipped));
  if (auto warning = plugins_in_bare_plan(options.plan, outcome.info)) outcome.warnings.push_back(std::move(*warning));
  // A backend that leaves no nodes has counted them itself.
  for (size_t i = 0; i < outcome.info.layers.size() && model.graph.nodes[0].op != Op::Plan; ++i)
    outcome.info.layers[i].flops_per_image = flops(model.graph, model.graph.nodes[i], 1);

  VTL_TRY(clock.at("plan", 0.75));
  for (const Profile& p : outcome.info.profiles) outcome.max_batch = std::max(outcome.max_batch, p.max);
  auto graph = std::make_shared<Graph>(std::move(model.graph));
  VTL_ASSIGN(const auto program, backend->load(graph, {.isa = "", .plan_only = true}));
  VTL_ASSIGN(outcome.plan, program->plan(outcome.max_batch, options.threads));
  if (outcome.plan.total() > options.workspace_bytes)
    return resource_error(
        "--workspace {} is too small: batch {} needs {} bytes ({} MiB); give at least --workspace {} "
        "or a profile with a smaller maximum",
        options.workspace_bytes, outcome.max_batch, outcome.plan.total(), (outcome.plan.total() >> 20) + 1,
        outcome.plan.total());

  if (options.precision == "int8" && runs_on_host(options.backend)) {
    const auto times = time_products(*graph, outcome.info.profiles[0].opt, options.threads, cpu::best_isa());
    if (auto warning = int8_is_not_faster(times)) outcome.warnings.push_back(std::move(*warning));
  }

  VTL_TRY(clock.at("write", 0.8));
  EngineInfo& info = outcome.info;
  info.producer = fmt::format("vitrail {}", version());
  info.model_name = model.file_name;
  info.model_hash = model.hash;
  info.backend = options.backend;
  info.precision = options.precision;
  for (std::string& w : downgrades(info)) outcome.warnings.push_back(std::move(w));
  info.workspace_bytes = options.workspace_bytes;
  info.preprocess = model.preprocess;
  info.labels = std::move(model.labels);
  VTL_ASSIGN(info.quantization_json, quantization_of(*graph));
  VTL_ASSIGN(outcome.hash, write_engine(engine_path, info, *graph));
  std::error_code error;
  outcome.file_bytes = static_cast<int64_t>(std::filesystem::file_size(engine_path, error));
  VTL_TRY(clock.at("done", 1));
  return outcome;
}

}  // namespace vitrail
